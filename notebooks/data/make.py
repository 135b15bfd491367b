"""Makes the small data sets of notebooks 12 to 16 from the lists below, always the same.

    python notebooks/data/make.py

In each, what is asked on development data turns on words that the training data does not have.
"""

import json
import random
from pathlib import Path

HERE = Path(__file__).parent

# a verb now and then, and how a sentence with it goes on; all of them whole words of the vocabulary
VERBS = ([("look", "looked", "at the sea"), ("come", "came", "from the north"), ("take", "took", "the long road"),
          ("know", "knew", "the way home"), ("live", "lived", "near the river"), ("write", "wrote", "a long letter"),
          ("hold", "held", "the lamp"), ("open", "opened", "the door"), ("think", "thought", "of the old days"),
          ("sit", "sat", "by the fire"), ("ask", "asked", "for more"), ("find", "found", "the path"),
          ("love", "loved", "the mountains"), ("give", "gave", "us bread"), ("carry", "carried", "the basket"),
          ("begin", "began", "to sing"), ("run", "ran", "down the hill"), ("tell", "told", "us a story")],
         [("walk", "walked", "to the village"), ("see", "saw", "the ships"), ("make", "made", "a good soup"),
          ("keep", "kept", "the key"), ("go", "went", "to church"), ("follow", "followed", "the road"),
          ("speak", "spoke", "of the war"), ("turn", "turned", "to the left"), ("hear", "heard", "the bells"),
          ("stand", "stood", "at the window"), ("bring", "brought", "water"), ("leave", "left", "the town")])
WHO = ["they", "we", "the children", "my sisters", "her friends", "the two men"]
PEOPLE = "mary john arthur helen george alice thomas ruth henry clara".split(), "william jane edward martha peter anne".split()
PLACES = (["london", "paris", "the village", "the old church", "new york", "the north farm", "the station", "rome"],
          ["boston", "spain", "the little town", "the big house", "the river", "the dark forest"])
DAYS = (["monday", "last night", "friday", "the next morning", "may"], ["sunday", "yesterday evening", "june", "noon"])
TOLD = ["WHO came from WHERE on WHEN .", "we met WHO in WHERE .", "WHEN , WHO and WHO left WHERE for ever .",
        "nobody in WHERE had seen WHO since WHEN .", "the letter to WHO was lost near WHERE .", "WHO slept well ."]
# Each sentence has one of each kind; each kind has its questions.
SCENES = ["WHO came from WHERE WHEN .", "WHEN , WHO left WHERE for ever .", "we met WHO in WHERE WHEN .",
          "WHO was seen in WHERE WHEN .", "in WHERE , WHO waited WHEN .", "WHEN we found WHO near WHERE ."]
ASKED = {"WHO": ["who was it ?", "of whom do they speak ?"], "WHERE": ["where was it ?", "at what place was it ?"],
         "WHEN": ["when was it ?", "at what time was it ?"]}
TIMES = (["last monday", "at night", "on friday", "the next morning", "in may", "in the spring", "at dinner"],
         ["last sunday", "in the evening", "on thursday", "the same day", "in june", "at noon"])
# three forms of a verb, of which one fits after "will", one after "are", one after "have"
FORMS = (["look looking looked", "rise rising risen", "take taking taken", "know knowing known", "live living lived",
          "write writing written", "think thinking thought", "find finding found", "give giving given", "grow growing grown",
          "carry carrying carried", "begin beginning begun", "tell telling told", "sing singing sung", "lose losing lost"],
         ["walk walking walked", "see seeing seen", "make making made", "keep keeping kept", "go going gone",
          "follow following followed", "speak speaking spoken", "bring bringing brought", "leave leaving left",
          "forget forgetting forgotten"])
BEFORE = (["{} will", "{} must", "{} would"], ["{} are", "{} were", "{} have been"], ["{} have", "{} had", "{} have never"])
AFTER = ["it again", "this for years", "something new", "more than before"]
BEES = """A hive is a city of bees. In summer it holds one queen, some drones and many thousands of workers.
The queen lays the eggs. The workers feed the queen, and the workers feed the young.
The young bees clean the cells of the comb. The older bees fly out to the flowers.
A bee carries nectar and pollen back to the hive. The nectar becomes honey in the cells of the comb.
The workers build the comb out of wax. Each cell of the comb has six sides.
When a bee has found many flowers, it dances on the comb. The other bees follow the dance and fly to the flowers.
The drones do no work in the hive. In autumn the workers drive the drones out of the hive.
In winter the bees sit close together in the hive. The bees eat the honey and keep the queen warm.
When the hive is too full, the old queen leaves it with a swarm of bees. A young queen stays in the hive.
The keeper blows smoke into the hive. The smoke makes the bees quiet, and the keeper can lift the comb.
The keeper cuts the wax from the comb and the honey runs out of the cells.
A good keeper leaves enough honey in the hive for the winter.
Without pollen the workers cannot feed the young. Without a queen the hive dies.
A worker lives for six weeks in summer. A queen lives for some years.
The swarm hangs on a branch while some bees look for a new hive."""
BEES_LATER = """The workers fly to the flowers and bring nectar to the hive.
The queen lays her eggs in the cells of the comb.
The keeper takes the honey out of the comb in autumn.
In winter the bees keep the hive warm and eat honey.
The old queen left the hive with a swarm of workers.
The drones leave the hive, and the workers feed the young."""


def tenses(part, rng):
    rows = [dict(text=f"{who} {verb} {rest}", label=label) for present, past, rest in VERBS[part]
            for verb, label in ((present, "present"), (past, "past")) for who in rng.sample(WHO, 4)]
    return rng.sample(rows, len(rows))


def tagged(part, rng, count):
    kinds = {"WHO": PEOPLE[part], "WHERE": PLACES[part], "WHEN": DAYS[part]}
    for i in range(count):
        rows = []
        for piece in TOLD[i % len(TOLD)].split():
            for n, word in enumerate(rng.choice(kinds[piece]).split() if piece in kinds else [piece]):
                rows.append(f"{word} {('I-' if n else 'B-') + piece if piece in kinds else 'O'}\n")
        yield "".join(rows)


def questions(part, rng, count):
    for i in range(count):
        told = {"WHO": rng.choice(PEOPLE[part]), "WHERE": rng.choice(PLACES[part]), "WHEN": rng.choice(TIMES[part])}
        context = " ".join(told.get(word, word) for word in rng.choice(SCENES).split())
        kind = list(ASKED)[i % 3]
        yield dict(id=f"{'dev' if part else 'train'}-{i}", question=rng.choice(ASKED[kind]), context=context,
                   answers=[dict(text=told[kind], answer_start=context.index(told[kind]))])


def choices(part, rng, count):
    for i in range(count):
        fits, forms, after = i % 3, rng.choice(FORMS[part]).split(), rng.choice(AFTER)
        order = rng.sample(range(3), 3)
        yield dict(context=rng.choice(BEFORE[fits]).format(rng.choice(WHO)), label=order.index(fits),
                   choices=[f"{forms[n]} {after}" for n in order])


def write(name, content):
    if not isinstance(content, str):
        content = "".join(json.dumps(row) + "\n" for row in content)
    (HERE / name).write_text(content, encoding="utf-8")


def main():
    for part, name in enumerate(("train", "dev")):
        rng = random.Random(part)
        write(f"tenses_{name}.jsonl", tenses(part, rng))
        write(f"who_where_when_{name}.conll", "\n".join(tagged(part, rng, (120, 48)[part])))
        write(f"questions_{name}.jsonl", questions(part, rng, (240, 60)[part]))
        write(f"endings_{name}.jsonl", choices(part, rng, (180, 60)[part]))
        write(f"bees_{name}.txt", (BEES, BEES_LATER)[part].replace("\n", "\n\n") + "\n")


if __name__ == "__main__":
    main()
