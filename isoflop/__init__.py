"""The whole as one command and one import; sits above all packages and may import any of them."""
