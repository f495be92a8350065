"""What the embedded model can sound like: labels, their sounds and their pictures, as data.

A reference is ``source:name``; `packages.py` knows where each source lies and what its licence is.
A licence that belongs to one file is written after a bar: ``tux:animals/insects/bee.svg|PD``.
``emoji:cat`` stands for that emoji in every emoji set. Sound names may hold ``*``.

This file knows names only: it reads nothing and makes nothing.
"""

from dataclasses import dataclass
from typing import Literal

Category = Literal["instrument", "animal", "thing"]
Style = Literal["poly", "mono", "long", "beat", "sparse", "kit", "effect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How a label is played from a General MIDI soundfont.

    Attributes:
        style: Kind of phrase: chords and lines (poly), lines (mono), sustained (long), a drum
            pattern on few keys (beat, sparse), a whole kit, or one long sound effect.
        programs: (bank, program) choices; bank 128 is the drum channel.
        low: Lowest MIDI note.
        high: Highest MIDI note.
        keys: Drum keys, for beat, sparse and kit.
    """

    style: Style
    programs: tuple[tuple[int, int], ...]
    low: int = 48
    high: int = 84
    keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One thing the model knows: either a `score` to render or `sounds` that were recorded."""

    name: str
    category: Category
    pictures: tuple[str, ...]
    score: Score | None = None
    sounds: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()


def _played(
    name: str,
    style: Style,
    programs: str,
    span: tuple[int, int],
    pictures: str,
    synonyms: str = "",
    category: Category = "instrument",
) -> Label:
    """A label rendered from melodic programs, written "24 8/25": program, or bank/program."""
    pairs = tuple(
        (int(p.partition("/")[0]), int(p.partition("/")[2])) if "/" in p else (0, int(p))
        for p in programs.split()
    )
    score = Score(style=style, programs=pairs, low=span[0], high=span[1])
    return Label(
        name=name,
        category=category,
        score=score,
        pictures=_refs(pictures),
        synonyms=_words(synonyms),
    )


def _struck(
    name: str, style: Style, keys: str, pictures: str, synonyms: str = "", kits: str = "0"
) -> Label:
    """A label rendered from keys of the drum channel; `kits` are drum kit programs."""
    score = Score(
        style=style,
        programs=tuple((128, int(kit)) for kit in kits.split()),
        keys=tuple(int(key) for key in keys.split()),
    )
    return Label(
        name=name,
        category="instrument",
        score=score,
        pictures=_refs(pictures),
        synonyms=_words(synonyms),
    )


def _recorded(
    category: Category, name: str, sounds: str, pictures: str, synonyms: str = ""
) -> Label:
    """A label made of recordings."""
    return Label(
        name=name,
        category=category,
        sounds=_refs(sounds),
        pictures=_refs(pictures),
        synonyms=_words(synonyms),
    )


def _refs(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


INSTRUMENTS = (
    _played(
        "piano",
        "poly",
        "0 1",
        (40, 88),
        "oc:recreation/music/piano_geraint_luff_01 oc:recreation/music/piano_keys_jonathan_diet_01 emoji:musical-keyboard game:grand-piano game:piano-keys ultimate:instrument-classical-piano",
        "grand piano, upright piano",
    ),
    _played("harpsichord", "poly", "6", (41, 84), ""),
    _played("music box", "poly", "10", (65, 96), ""),
    _played("vibraphone", "poly", "11", (53, 88), ""),
    _played("marimba", "mono", "12", (48, 84), ""),
    _played("organ", "poly", "19 8/19", (36, 84), "game:pipe-organ", "pipe organ, church organ"),
    _played(
        "accordion",
        "poly",
        "21 8/21",
        (53, 84),
        "emoji:accordion game:accordion freehand:instrument-accordian",
        "squeezebox",
    ),
    _played("harmonica", "mono", "22", (60, 86), "", "mouth organ"),
    _played(
        "acoustic guitar",
        "poly",
        "24 25",
        (40, 76),
        "oc:recreation/music/guitar_jarno_vasamaa1 oc:recreation/music/guitar_profile_philippe__01 oc:recreation/music/guitar_ganson tux:hobbies/music/string/guitar_classical.png|CC-BY-SA-2.0 mdi:guitar-acoustic game:guitar",
        "guitar, classical guitar",
    ),
    _played(
        "electric guitar",
        "poly",
        "29 30",
        (40, 76),
        "tux:hobbies/music/string/guitar2.png|PD oc:recreation/music/electric_guitar_andrea__01r oc:recreation/music/guitar_jarno_vasamaa2 tux:hobbies/music/string/guitar_electric.png|CC-BY-SA-2.5 emoji:guitar mdi:guitar-electric ultimate:modern-music-electric-guitar",
        "rock guitar",
    ),
    _played(
        "bass guitar",
        "mono",
        "33 34",
        (28, 52),
        "oc:recreation/music/bass_guitar_a.j._ashton_ freehand:modern-music-bass-guitar game:guitar-bass-head",
        "electric bass",
    ),
    _played(
        "violin",
        "mono",
        "40 110",
        (55, 91),
        "tux:hobbies/music/string/violin2.svg|PD oc:recreation/music/violin_colour_ganson oc:recreation/music/violin_ganson oc:recreation/music/violin_mo_01 tux:hobbies/music/string/violin.png|GFDL emoji:violin game:violin mdi:violin",
        "fiddle",
    ),
    _played(
        "cello",
        "mono",
        "42",
        (36, 67),
        "oc:recreation/music/cello_ganson oc:recreation/music/cello_mo_01 oc:recreation/music/cello_mo_02 tux:hobbies/music/string/cello.png|GFDL",
        "violoncello",
    ),
    _played(
        "harp",
        "poly",
        "46",
        (36, 91),
        "oc:recreation/music/harp1_ganson oc:recreation/music/harp2_ganson oc:recreation/music/harp3_ganson oc:recreation/music/harp_mo_01 emoji:harp game:harp",
    ),
    _played(
        "trumpet",
        "mono",
        "56",
        (55, 84),
        "oc:recreation/music/trumpet_b_flat_colour_ganso oc:recreation/music/trumpet_pocket_colour_ganso oc:recreation/music/trumpet_pocket__ganson tux:hobbies/music/brass/trumpet.png|GFDL|CC-BY-SA emoji:trumpet game:trumpet mdi:trumpet",
    ),
    _played(
        "trombone",
        "mono",
        "57",
        (40, 70),
        "oc:recreation/music/tenor_trombone_ganson emoji:trombone game:trombone",
    ),
    _played("tuba", "mono", "58", (29, 55), "game:tuba"),
    _played(
        "french horn",
        "mono",
        "60",
        (41, 74),
        "oc:recreation/music/french_horn_ganson game:french-horn",
        "horn",
    ),
    _played(
        "saxophone",
        "mono",
        "65 66",
        (46, 80),
        "oc:recreation/music/saxophone_jarno_vasamaa_ emoji:saxophone game:saxophone mdi:saxophone freehand:instrument-saxophone",
        "sax",
    ),
    _played("oboe", "mono", "68", (58, 88), "oc:recreation/music/oboe_ganson"),
    _played(
        "bassoon",
        "mono",
        "70",
        (34, 67),
        "tux:hobbies/music/wind/bassoon.png|GFDL-1.2 game:bassoon",
    ),
    _played("clarinet", "mono", "71", (50, 86), "game:clarinet"),
    _played(
        "flute", "mono", "73", (60, 93), "oc:recreation/music/flute_ganson emoji:flute game:flute"
    ),
    _played(
        "pan flute",
        "mono",
        "75",
        (60, 91),
        "game:pan-flute ultimate:instrument-pan-flute",
        "pan pipes",
    ),
    _played("ocarina", "mono", "79", (60, 88), "game:ocarina mdi:ocarina"),
    _played("banjo", "poly", "105", (48, 79), "emoji:banjo game:banjo"),
    _played("bagpipes", "mono", "109", (55, 77), "game:bagpipes", "bagpipe"),
    _played(
        "xylophone", "mono", "13", (65, 96), "oc:recreation/music/xylophone_ganson game:xylophone"
    ),
    _played(
        "synthesizer",
        "mono",
        "80 81 90",
        (48, 84),
        "freehand:instrument-electronic-keyboard game:musical-keyboard",
        "synth, electronic keyboard",
    ),
    _played(
        "singing",
        "long",
        "52 53",
        (48, 79),
        "emoji:singer emoji:woman-singer emoji:man-singer oc:recreation/music/a_man_singing_01 game:sing",
        "choir, singer, choir singing",
    ),
    _played(
        "church bell",
        "sparse",
        "8/14 14",
        (48, 72),
        "emoji:bell game:ringing-bell gc:babymatch/resource/images/bell.svg|CC-BY-SA-4.0",
        "bell, bell tower, bells ringing",
    ),
    _played(
        "taiko",
        "beat",
        "116",
        (36, 60),
        "gc:explore_world_music/resource/music/japan.webp|PD oc:recreation/music/war_drum_enrique_meza_c_01 oc:recreation/music/war_drum_enrique_meza_c_02",
        "war drum, big drum",
    ),
    _struck(
        "drum kit",
        "kit",
        "36 38 42 46 45 48 49 51",
        "oc:recreation/music/drums_jarno_vasamaa_ tux:hobbies/music/percussion/drumkit.png|GFDL game:drum-kit freehand:modern-music-drums",
        "drums, drum set",
        kits="0 8 16 32",
    ),
    _struck(
        "snare drum",
        "beat",
        "38 40",
        "emoji:drum scratch:Things/drum1.gif scratch:Things/drum2.gif game:drum",
        "drum, drum roll",
        kits="0 56",
    ),
    _struck(
        "conga",
        "beat",
        "62 63 64",
        "emoji:long-drum oc:recreation/music/africandrum_benji_park1 oc:recreation/music/africandrum_benji_park2 oc:recreation/music/djambf_ganson oc:recreation/music/derbouk_jurgen_01",
        "hand drum, djembe, bongo",
    ),
    _struck(
        "maracas",
        "beat",
        "70",
        "oc:recreation/music/maracas_ganson emoji:maracas game:maracas",
        "shaker",
    ),
    _struck("tambourine", "beat", "54", "game:tambourine ultimate:instrument-tambourine"),
    _struck("triangle", "sparse", "80 81", "mdi:instrument-triangle"),
    _struck(
        "sleigh bells",
        "beat",
        "83",
        "oc:recreation/holiday/christmas/jingle_bells_01 emoji:sled",
        "jingle bells",
    ),
    _struck(
        "metronome",
        "beat",
        "33 34",
        "game:metronome mdi:metronome freehand:music-metronome",
        "ticking metronome",
    ),
    _struck(
        "whistle",
        "sparse",
        "71 72",
        "game:whistle mdi:whistle freehand:business-coaching-whistle",
        "referee whistle",
    ),
)

EFFECTS = (
    _played(
        "ocean waves",
        "effect",
        "122",
        (54, 66),
        "emoji:water-wave emoji:beach-with-umbrella game:big-wave game:wave-crest",
        "sea, ocean, surf, beach",
        "thing",
    ),
    _played(
        "telephone",
        "effect",
        "124",
        (57, 64),
        "oc:office/telephone/phone oc:office/telephone/red_telephone_mimooh_01 emoji:telephone game:rotary-phone",
        "phone, telephone ringing",
        "thing",
    ),
    _played(
        "helicopter",
        "effect",
        "125",
        (55, 65),
        "scratch:Transportation/helicopter1.png emoji:helicopter game:helicopter",
        "chopper",
        "thing",
    ),
    _played(
        "applause",
        "effect",
        "126",
        (55, 65),
        "emoji:clapping-hands",
        "clapping, audience clapping",
        "thing",
    ),
)

ANIMALS = tuple(
    _recorded("animal", name, sounds, pictures, synonyms)
    for name, synonyms, sounds, pictures in (
        (
            "cat",
            "kitten, meow",
            "scratch:Animal/Cat.mp3 scratch:Animal/Kitten.wav scratch:Animal/Meow.wav ovos:cat",
            "gc:explore_farm_animals/resource/animals/cat.webp|PD tux:animals/mammals/cats/kitten.svg|PD oc:animals/mammals/housecats/gatto_cat_architetto_fra_01 oc:animals/mammals/housecats/gatto_cat_architetto_fra_02 oc:animals/mammals/housecats/gatto_cat_architetto_fra_03 oc:animals/mammals/housecats/gatto_cat_architetto_fra_04 oc:animals/mammals/housecats/gattina_cat_architetto_f_01 oc:animals/mammals/housecats/kitten_gerald_g._01 gc:explore_farm_animals/resource/animals/cat.svg|CC-BY-SA-4.0 gc:lang/resource/words_sample/cat.webp|CC-BY-SA-3.0 scratch:Animals/cat2.gif scratch:Animals/cat4.png emoji:cat emoji:cat-face game:cat",
        ),
        (
            "dog",
            "puppy, barking dog",
            "gc:memory-sound/resource/LRBark_* scratch:Animal/Dog1.wav scratch:Animal/Dog2.wav apoc:misc/dog* ovos:dog",
            "gc:explore_farm_animals/resource/animals/dog.webp|PD oc:animals/mammals/dogs/beagle_copper_ganson oc:animals/mammals/dogs/black_lab_ganson oc:animals/mammals/dogs/bulldog_puppy_ganson oc:animals/mammals/dog_03_drawn_with_strai_01 oc:animals/mammals/dog_04_drawn_with_strai_01 oc:animals/mammals/dog_05_drawn_with_strai_01 oc:animals/mammals/dog_06_drawn_with_strai_01 oc:animals/mammals/dog_on_leash_gerald_g._01 gc:explore_farm_animals/resource/animals/dog.svg|CC-BY-SA-4.0 gc:lang/resource/words_sample/dog.webp|CC-BY-SA-3.0 scratch:Animals/dog1-a.png scratch:Animals/dog2-a.png emoji:dog emoji:dog-face",
        ),
        (
            "cow",
            "cattle, mooing cow",
            "apoc:misc/cows.wav apoc:misc/moo.wav mega:cow_select* mega:cow_ack* mega:mudchute_cow_1.ogg ovos:cow",
            "gc:explore_farm_animals/resource/animals/cow.webp|PD oc:animals/mammals/vacca_pezzata_rossa_val_01 tux:animals/mammals/bovines/cow_white.png|GFDL|CC-BY-SA gc:explore_farm_animals/resource/animals/cow.svg|CC-BY-SA-4.0 gc:lang/resource/words_sample/cow.webp|CC-BY-SA-3.0 scratch:Animals/cow1.gif emoji:cow emoji:cow-face game:cow",
        ),
        (
            "horse",
            "pony, neighing horse",
            "scratch:Animal/Horse.wav scratch:Animal/HorseGallop.wav ovos:horse",
            "gc:explore_farm_animals/resource/animals/horse.webp|CC0-1.0 oc:animals/mammals/horses/cavallo_architetto_franc_01 oc:animals/mammals/horses/cavallo_architetto_franc_02 oc:animals/mammals/horses/cavallo_architetto_franc_03 oc:animals/mammals/horses/cavallo_architetto_franc_05 oc:animals/mammals/horses/cavallo_architetto_franc_06 oc:animals/mammals/horses/cavallo_architetto_franc_07 gc:explore_farm_animals/resource/animals/horse.svg|CC-BY-SA-4.0 gc:lang/resource/words_sample/horse.webp|CC-BY-SA-3.0 scratch:Animals/horse1-a.png scratch:Animals/horse2.png emoji:horse emoji:horse-face",
        ),
        (
            "sheep",
            "lamb, bleating sheep",
            "apoc:misc/sheep.wav mega:sheep[0-9]* ovos:sheep",
            "gc:explore_farm_animals/resource/animals/sheep.webp|CC0-1.0 oc:animals/mammals/sheep-md-v0.1 oc:animals/mammals/pecora_architetto_france_01 tux:animals/mammals/bovines/sheep.png|GFDL|CC-BY-SA tux:animals/mammals/bovines/sheep_lamb.png|GFDL|CC-BY-SA gc:explore_farm_animals/resource/animals/sheep.svg|CC-BY-SA-4.0 gc:lang/resource/words_sample/sheep.webp|CC-BY-SA-3.0 emoji:ewe emoji:ram game:sheep",
        ),
        (
            "pig",
            "hog, grunting pig",
            "mega:pig_select* mega:pig_ack* ovos:pig",
            "gc:explore_farm_animals/resource/animals/pig.webp|PD oc:animals/mammals/pig_marcelo_caiafa1 oc:animals/mammals/porcinet_01 tux:animals/mammals/pig_golden.png|GFDL|CC-BY-SA tux:animals/mammals/pig_golden2.png|GFDL|CC-BY-SA gc:explore_farm_animals/resource/animals/pig.svg|CC-BY-SA-4.0 gc:lang/resource/words_sample/pig.webp|CC-BY-SA-3.0 emoji:pig emoji:pig-face game:pig",
        ),
        (
            "duck",
            "quacking duck",
            "tux:animals/birds/drake.ogg|GFDL|CC-BY-SA scratch:Animal/Duck.wav ovos:duck",
            "gc:explore_farm_animals/resource/animals/duck.webp|CC0-1.0 oc:animals/birds/jonathon_s_duck_01 gc:explore_farm_animals/resource/animals/duck.svg|CC-BY-SA-4.0 gc:lang/resource/words_sample/duck.webp|CC-BY-SA-3.0 scratch:Animals/duck1.png emoji:duck game:duck",
        ),
        (
            "chicken",
            "hen, clucking chicken",
            "tux:animals/birds/hen.ogg|GFDL|CC-BY-SA mega:chicken_select* mega:chicken_ack* mega:chicken_standing*",
            "gc:explore_farm_animals/resource/animals/chicken.webp|PD oc:animals/birds/hen_01 tux:animals/birds/chicken_profile.png|GFDL|CC-BY-SA gc:explore_farm_animals/resource/animals/chicken.svg|CC-BY-SA-4.0 gc:lang/resource/words_sample/chicken.webp|CC-BY-SA-3.0 emoji:chicken game:chicken",
        ),
        (
            "rooster",
            "cock, crowing rooster",
            "scratch:Animal/Rooster.wav apoc:misc/rooster.wav mega:rooster.ogg ovos:rooster",
            "oc:animals/birds/gallo_di_profilo_archite_01 emoji:rooster game:rooster",
        ),
        ("goose", "honking goose", "scratch:Animal/Goose.wav", "emoji:goose"),
        (
            "owl",
            "hooting owl",
            "scratch:Animal/Owl.wav mega:owl.ogg ovos:owl",
            "gc:explore_farm_animals/resource/animals/owl.webp|CC0-1.0 oc:animals/birds/gufo_civetta_architetto__01 oc:animals/birds/owl_on_branch_ganson gc:explore_farm_animals/resource/animals/owl.svg|CC-BY-SA-4.0 gc:lang/resource/words_sample/owl.webp|CC-BY-SA-3.0 emoji:owl game:owl",
        ),
        (
            "crow",
            "raven",
            "sonic:misc_crow.flac",
            "oc:animals/birds/crow_01 emoji:black-bird game:raven",
        ),
        (
            "songbird",
            "bird, birdsong",
            "scratch:Animal/Bird.wav mega:day.ogg mega:sunny_day.ogg",
            "oc:animals/birds/uccello_profilo_01_archi_01 oc:animals/birds/bird_of_peace_mauro_oliv_01 gc:lang/resource/words_sample/bird.webp|CC-BY-SA-3.0 emoji:bird",
        ),
        (
            "eagle",
            "hawk, bird of prey",
            "mega:hawk.ogg mega:eagle_select* mega:eagle_ack* mega:eagle_attack*",
            "emoji:eagle game:eagle-head oc:animals/birds/eagle_01",
        ),
        (
            "frog",
            "toad, croaking frog",
            "gc:memory-sound/resource/LRFrogsInPond* ovos:frog",
            "oc:animals/rana01_architetto_france_01 oc:animals/rana02_architetto_france_01 oc:animals/rana03_architetto_france_01 gc:lang/resource/words_sample/frog.webp|CC-BY-SA-3.0 scratch:Animals/frog1.gif emoji:frog game:frog",
        ),
        (
            "bee",
            "honeybee, buzzing bee",
            "mega:bee[0-9]* apoc:explosions/bees.wav",
            "tux:animals/insects/bee.svg|PD oc:animals/bugs/bee oc:animals/bugs/abeille_tanguy_jacq_01 gc:lang/resource/words_sample/bee.webp|CC-BY-SA-3.0 scratch:Animals/bee1.gif emoji:honeybee game:bee",
        ),
        (
            "cricket",
            "grasshopper, chirping crickets",
            "scratch:Animal/Cricket.wav scratch:Animal/Crickets.wav",
            "oc:animals/bugs/cavalletta_architetto_fr_01 oc:animals/bugs/grass_hopper_02 scratch:Animals/grasshopper1.gif emoji:cricket",
        ),
        ("snake", "hissing snake", "mega:snake_attack[0-9]*", "emoji:snake game:snake"),
        (
            "wolf",
            "howling wolf",
            "scratch:Animal/WolfHowl.wav mega:wolf.wav",
            "oc:animals/mammals/simple_stylized_wolf_he_01 oc:animals/mammals/stylized_wolf_head_geral_01 gc:lang/resource/words_sample/wolf.webp|CC-BY-SA-3.0 emoji:wolf game:wolf-howl game:wolf-head",
        ),
        (
            "elephant",
            "trumpeting elephant",
            "mega:ele[0-9]*",
            "oc:animals/mammals/elefante02_architetto_fr_01 scratch:Animals/elephant.gif emoji:elephant game:elephant",
        ),
        (
            "sea lion",
            "seal",
            "scratch:Animal/SeaLion.mp3",
            "oc:animals/seal oc:animals/seal_sek_ emoji:seal",
        ),
    )
)

THINGS = tuple(
    _recorded("thing", name, sounds, pictures, synonyms)
    for name, synonyms, sounds, pictures in (
        (
            "car horn",
            "car, automobile, honking car",
            "apoc:misc/carhorn*",
            "tux:vehicles/auto/sportscar.svg|PD oc:transportation/vehicles/car oc:transportation/vehicles/road_runner_ganson oc:transportation/vehicles/blazer_01 scratch:Transportation/car-blue.gif scratch:Transportation/car-bug.gif emoji:automobile emoji:oncoming-automobile",
        ),
        (
            "siren",
            "fire truck, police car, ambulance",
            "apoc:misc/firetruck.wav apoc:misc/policecar.wav",
            "tux:vehicles/emergency/firetruck.png|CC-BY-2.5 tux:vehicles/iso_fireengine.svg|PD emoji:fire-engine emoji:police-car emoji:ambulance",
        ),
        (
            "motorcycle",
            "motorbike",
            "scratch:Effects/MotorcyclePassing.wav",
            "tux:vehicles/cycle/motorbike.svg|PD oc:transportation/motorcycle_jarno_vasama_ emoji:motorcycle",
        ),
        (
            "train",
            "locomotive, railway",
            "gc:memory-sound/resource/LRTrain_slowing*",
            "emoji:locomotive emoji:train emoji:railway-car game:steam-locomotive",
        ),
        (
            "airplane",
            "plane, propeller plane",
            "apoc:misc/cessna.wav",
            "tux:vehicles/flight/planes/plane.svg|PD oc:transportation/vehicles/aircraft_jarno_vasamaa1 oc:transportation/vehicles/aircraft_jarno_vasamaa2 oc:transportation/vehicles/aircraft_jarno_vasamaa3 scratch:Transportation/airplane.gif emoji:airplane emoji:small-airplane",
        ),
        (
            "rain",
            "rainstorm, heavy rain",
            "gc:memory-sound/resource/LRRain_in_garden* mega:rain.ogg mega:rain.wav",
            "emoji:cloud-with-rain emoji:umbrella-with-rain-drops oc:signs_and_symbols/weather/rain game:raining",
        ),
        ("wind", "storm, blowing wind", "mega:wind.ogg", "emoji:wind-face game:wind-slap"),
        (
            "thunder",
            "lightning, thunderstorm",
            "apoc:explosions/thunder.wav apoc:explosions/lightning.wav apoc:explosions/lightningbolt.wav",
            "emoji:high-voltage emoji:cloud-with-lightning oc:signs_and_symbols/weather/lightning_jon_phillips_02 oc:signs_and_symbols/weather/lightning_jon_phillips_06 oc:signs_and_symbols/weather/lightning_jon_phillips_10 game:lightning-storm",
        ),
        (
            "water",
            "running water, dripping water, bubbles",
            "scratch:Effects/WaterDrop.mp3 scratch:Effects/Ripples.wav scratch:Effects/WaterRunning.mp3 scratch:Effects/Bubbles.wav scratch:Effects/Plunge.wav",
            "emoji:droplet emoji:sweat-droplets emoji:potable-water game:water-drop game:drop",
        ),
        (
            "fire",
            "crackling fire, bonfire",
            "mega:wicker_fire* gc:memory-sound/resource/LRFireballs*",
            "emoji:fire oc:recreation/party/fire_valessio_soares_de_ game:campfire game:flame",
        ),
        (
            "explosion",
            "bomb, blast",
            "apoc:explosions/exp.wav apoc:explosions/bhit.wav apoc:explosions/shockwave.wav apoc:explosions/meteor.wav sonic:misc_cineboom.flac",
            "emoji:bomb emoji:collision oc:tools/weapons/bomb_01 game:unlit-bomb game:explosion-rays",
        ),
        (
            "gunshot",
            "gun, rifle, machine gun",
            "apoc:shoot/shotgun.wav apoc:shoot/machinegun.wav apoc:shoot/tripleshot.wav",
            "oc:tools/weapons/9_mm_gun_01 game:pistol-gun game:machine-gun game:shotgun",
        ),
        (
            "factory",
            "machine, machinery",
            "gc:memory-sound/resource/LRFactory_noise_* apoc:misc/factoryloop1.wav",
            "emoji:factory oc:buildings/factory_gabrielle_nowick_ game:factory",
        ),
        (
            "robot",
            "robot voice",
            "sonic:mehackit_robot*.flac sonic:glitch_robot*.flac",
            "emoji:robot oc:recreation/toys/robot_ganson scratch:Fantasy/robot1.png scratch:Fantasy/robot2.png scratch:Fantasy/robot3.gif",
        ),
        (
            "computer",
            "computer beeps",
            "scratch:Electronic/ComputerBeeps*.wav sonic:elec_beep.flac sonic:elec_blip*.flac",
            "emoji:desktop-computer emoji:laptop oc:computer/hardware/computer oc:computer/hardware/computer1 oc:computer/hardware/computer2",
        ),
        (
            "keyboard typing",
            "typing, typewriter",
            "scratch:Effects/Typing.mp3",
            "emoji:keyboard oc:computer/hardware/keyboard_01 oc:computer/hardware/keyboard oc:computer/hardware/computer_keyboard_01",
        ),
        (
            "door",
            "door closing, creaking door",
            "scratch:Effects/DoorClose.mp3 scratch:Effects/DoorCreak.wav sonic:perc_door.flac gc:memory-sound/resource/LRDoor_Open*",
            "emoji:door game:door game:closed-doors",
        ),
        (
            "axe",
            "chopping wood",
            "mega:worker_harvest_wood[0-9]*",
            "emoji:axe oc:tools/axe_peterm_ game:wood-axe",
        ),
        (
            "heartbeat",
            "heart",
            "gc:memory-sound/resource/LRHeart_beat*",
            "emoji:anatomical-heart game:heart-beats",
        ),
        (
            "vinyl record",
            "record player, turntable, scratching",
            "sonic:vinyl_backspin.flac sonic:vinyl_rewind.flac sonic:vinyl_scratch.flac",
            "oc:recreation/music/45_rpm_record_gerald_g._01 oc:recreation/music/45_rpm_record_gerald_g._02 oc:recreation/music/vinyl_disc_philippe_coli_01 oc:recreation/music/gramophone",
        ),
        (
            "laughing",
            "laughter, laugh",
            "scratch:Human/Laugh-*",
            "emoji:rolling-on-the-floor-laughing emoji:face-with-tears-of-joy scratch:People/mako-laughing.gif scratch:People/boy4-laughing.gif",
        ),
        (
            "screaming",
            "scream",
            "scratch:Human/Scream-* apoc:misc/scream*",
            "emoji:face-screaming-in-fear scratch:People/mako-screaming.gif scratch:People/girl2-shouting.gif",
        ),
        (
            "baby crying",
            "baby, crying baby",
            "scratch:Human/BabyCry.mp3",
            "emoji:baby emoji:loudly-crying-face scratch:People/baby.png",
        ),
        ("sneezing", "sneeze", "scratch:Human/Sneeze-*", "emoji:sneezing-face"),
        (
            "footsteps",
            "walking, steps",
            "scratch:Human/Footsteps-*",
            "emoji:footprints emoji:person-walking oc:recreation/holiday/footprints_in_sand_ganson",
        ),
        (
            "gong",
            "buddhist gong",
            "scratch:Percussion/Gong.wav gc:memory-sound/resource/LRBuddhist_gong*",
            "game:gong",
        ),
        (
            "vacuum cleaner",
            "hoover",
            "tux:household/vacuum_cleaner.ogg|GFDL|CC-BY-SA",
            "tux:household/vacuum_cleaner.svg|PD oc:tools/vavuum_cleaner_-_uprigh_01",
        ),
        (
            "city street",
            "traffic, city",
            "apoc:misc/citysounds.wav",
            "emoji:cityscape emoji:vertical-traffic-light game:modern-city",
        ),
        (
            "orchestra",
            "symphony orchestra",
            "gc:explore_world_music/resource/music/beethoven.ogg|CC0-1.0",
            "gc:explore_world_music/resource/music/orchestra.webp|PD",
        ),
        (
            "opera singing",
            "opera singer",
            "gc:explore_world_music/resource/music/italy.ogg|CC0-1.0",
            "gc:explore_world_music/resource/music/italy.webp|CC0-1.0",
        ),
        (
            "mariachi",
            "mexican band",
            "gc:explore_world_music/resource/music/mexico.ogg|CC0-1.0",
            "gc:explore_world_music/resource/music/mexico.webp|CC0-1.0",
        ),
        (
            "rock band",
            "rock music",
            "gc:explore_world_music/resource/music/america.ogg|CC-BY-3.0",
            "gc:explore_world_music/resource/music/america.webp|CC-BY-2.0",
        ),
        (
            "irish folk band",
            "folk music",
            "gc:explore_world_music/resource/music/ireland.ogg|CC-BY-3.0",
            "gc:explore_world_music/resource/music/ireland.webp|CC-BY-2.0",
        ),
        (
            "didgeridoo",
            "",
            "gc:explore_world_music/resource/music/australia.ogg|CC0-1.0 scratch:Instruments/Dijjeridoo.mp3",
            "gc:explore_world_music/resource/music/australia.webp|CC-BY-2.0",
        ),
    )
)

LABELS: tuple[Label, ...] = tuple(
    label for label in INSTRUMENTS + EFFECTS + ANIMALS + THINGS if label.pictures
)
