"""The repository's tools. The commands are bash; what needs Python is in packages here, not shipped with streamrvq."""
