"""The only room that talks to people: Typer and Rich, one file a command."""
