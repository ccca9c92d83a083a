"""`lsfa data`: one file a command, imported when it is used."""

from lsfa_cli.commands.lazy import CommandTable, LazyGroup, new_app

TABLE = CommandTable(
    "lsfa_cli.commands.data",
    {
        "list": "The data sets there are, and what each reads.",
        "init": "Folders and an explained lsfa-part.toml for a part of your own.",
        "fit": "Measure good parts of your own and set what preprocessing needs.",
        "show": "One sample in a picture, as it is and after preprocessing.",
        "paste": "Good samples with pasted defects in a picture, before and after.",
        "check": "Counts, ranges, and what looks wrong in a data set; a montage.",
    },
    {"list": "list_datasets"},
    kind="command of lsfa data",
)


class DataCommands(LazyGroup):
    """The group of commands about data sets."""

    table = TABLE


app = new_app(DataCommands)


@app.callback()
def data() -> None:
    """Look at data sets, check them before use, and set up parts of your own. No image or scan is ever changed."""
