"""Words for the generated tasks: to unscramble, by category, and with two senses each."""

_COMMON = (
    "air arm art bag bed bird boat body bone book box boy bread bridge brother bus cake call "
    "camp cap car card cat chair cheese child church city clock cloud coat coffee corn cow cup "
    "dance day desk dinner doctor dog door dream dress duck ear earth egg engine eye face "
    "family farm father field finger fire fish flag flower foot forest friend frog fruit game "
    "garden girl glass goat gold grass hair hand hat head heart hill home honey horse hotel "
    "house ice iron island jacket juice key king kitchen knife lake lamp leaf leg letter light "
    "lion lip map market meal milk mirror money monkey month moon mother mouse mouth music nail "
    "name neck needle night nose ocean office onion orange oven owl page paint paper parent pen "
    "pencil people piano picture pig pipe planet plate pocket potato queen rabbit rain ring "
    "river road roof room root rose salt sand school sea seed sheep ship shirt shoe silver "
    "sister skin sky snake snow soap sock soup spoon spring star station stone storm story "
    "street sugar summer sun table tail teacher thread tiger tooth tower town train tree truck "
    "uncle valley village voice wall watch water wheel wind window wing winter wolf woman wood "
    "wool world yard year "
)
WORDS = tuple(_COMMON.split())

CATEGORIES = {
    "fruit": "apple pear plum cherry lemon peach grape melon",
    "tool": "hammer saw drill pliers wrench chisel file spade",
    "animal": "horse cow sheep goat rabbit tiger wolf bear",
    "colour": "red green blue yellow purple brown pink grey",
    "garment": "shirt sock coat hat glove scarf skirt belt",
    "vehicle": "car bus train truck boat plane tram bicycle",
    "body": "arm leg nose ear mouth knee elbow chin",
    "weather": "rain snow hail fog storm frost sleet breeze",
}

SENSES = {
    "bank": (
        "of mud|by the stream|under reeds|along the river",
        "for loans|with tellers|of savings|paying interest",
    ),
    "bat": (
        "in a cave|with wings|hanging asleep|eating moths",
        "of ash wood|for cricket|with a grip|hitting balls",
    ),
    "spring": (
        "after winter|with blossom|in april|before summer",
        "of steel|in the mattress|under tension|that recoils",
    ),
    "seal": (
        "on the ice|eating fish|with whiskers|in the sea",
        "of wax|on the letter|of the king|of approval",
    ),
    "bark": (
        "of an oak|peeling off|on the trunk|of birch",
        "of a dog|at night|at strangers|of the hound",
    ),
    "crane": (
        "by the lake|on one leg|with feathers|in flight",
        "on the site|lifting steel|in the harbour|with a hook",
    ),
    "mole": (
        "under the lawn|digging tunnels|with soft fur|eating worms",
        "on her cheek|on the skin|near the chin|seen by a doctor",
    ),
    "nail": (
        "of the thumb|painted red|on a toe|that was bitten",
        "of iron|in the plank|under the hammer|gone rusty",
    ),
    "palm": (
        "on the beach|with dates|in the desert|swaying tall",
        "of the hand|read by gypsies|held open|with lines",
    ),
    "pitch": (
        "of the voice|too high|of the note|in tune",
        "of grass|for football|after the match|mown short",
    ),
    "ring": (
        "of gold|on her finger|with a stone|at the wedding",
        "of the phone|at the door|of a bell|that woke him",
    ),
    "wave": (
        "on the shore|with foam|of the ocean|under the surfer",
        "of the hand|from the window|to a friend|of farewell",
    ),
}
"""Each word's contexts in its first and its second sense."""
