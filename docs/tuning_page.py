"""The page of what `lsfa tune` chose, written from the tables that it wrote (`docs/evidence/tuning/*.json`).

MkDocs calls `on_files` at each build (see mkdocs.yml): no figure is copied by hand. `evidence/tuning/README.md`, the
head of the page, has the commands that made the tables.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from lsfa_cli.tables.tuning import read_tuning, render_tuning

FOLDER = Path(__file__).parent / "evidence" / "tuning"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to those that MkDocs found (a hook: MkDocs calls it by this name)."""
    files.append(File.generated(config, "explanation/tuning.md", content=page(FOLDER)))
    return files


def page(folder: Path) -> str:
    """The page: one section a table. Raises ValueError for a file that lsfa tune did not write; the build stops."""
    blocks = [(folder / "README.md").read_text(encoding="utf-8").strip()]
    for path in sorted(folder.glob("*.json")):
        try:
            tuned, caption = read_tuning(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        blocks.append(f"#{render_tuning(tuned, 'markdown', caption=caption).strip()}")
    return "\n\n".join(blocks) + "\n"
