"""Many runs: grid, plan, launch, status, collect. May import analysis, eval and train."""
