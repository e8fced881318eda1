"""Commands about the commands: completion of shells, and help by topic."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from bulklmm_dask.cli._base import Command, did, examples, show
from bulklmm_dask.cli._topics import TOPICS

_NAME, _VARIABLE = "bulklmm", "_BULKLMM_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=Command,
    short_help="Script that completes commands and options in a shell.",
    epilog=examples(
        "bulklmm completion bash >> ~/.bashrc",
        "bulklmm completion zsh >> ~/.zshrc",
        "bulklmm completion fish > ~/.config/fish/completions/bulklmm.fish",
    ),
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion_command(shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, their values and paths.

    Bash needs version 4.4 or newer. A new shell has it.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    # Bash is asked for its version by `source`, also where the script is for another machine.
    script = ShellComplete.source(kind(click.Command(_NAME), {}, _NAME, _VARIABLE))
    did(script=script)
    show(script)


@click.command(
    "help",
    cls=Command,
    short_help="Help on a command or a topic.",
    epilog=examples(
        "bulklmm help scan",
        "bulklmm help plot lod",
        "bulklmm help exit-codes",
    ),
)
@click.argument("topic", nargs=-1)
def help_command(topic: tuple[str, ...]) -> None:
    """Show the help of a command, such as scan, or of a TOPIC; without one list the topics."""
    context = click.get_current_context().parent  # bulklmm, also below dask
    assert context is not None
    command = context.command
    if not topic:
        lines = [f"  {name:<12}{title}" for name, (title, _) in TOPICS.items()]
        text = "\n".join(["Topics:", *lines, "", "Commands: see bulklmm --help"])
    elif len(topic) == 1 and topic[0] in TOPICS:
        text = "\n".join(TOPICS[topic[0]])
    else:
        for name in topic:
            found = command.get_command(context, name) if isinstance(command, click.Group) else None
            if found is None:
                raise click.UsageError(
                    f"there is neither a command nor a topic {' '.join(topic)!r}; topics are "
                    f"{', '.join(TOPICS)}"
                )
            command, context = found, click.Context(found, info_name=name, parent=context)
        text = command.get_help(context)
    did(topic=" ".join(topic), text=text)
    show(text)
