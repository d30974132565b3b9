"""Plays the programs that need AWS to the commands of a page: ``python -m tests.cluster.aws.cli aws ec2 …``.

Nothing is done.  What does not exist is refused: a service, an operation, an option, or a field that is asked for.
"""

from __future__ import annotations

import re
import sys

ACCOUNT = "123456789012"

GLOBAL = {"output", "query", "region", "profile"}
"""Options of every command of the AWS CLI."""

OWN = {
    ("eks", "update-kubeconfig"): {"name", "alias"},
    ("ecr", "get-login-password"): set(),
    ("cloudformation", "deploy"): {"stack-name", "template-file", "capabilities", "parameter-overrides"},
}
"""Commands that the AWS CLI has beside those that follow from the operations of a service."""

SWITCHES = {
    "helm install": {"namespace", "version", "set", "skip-crds", "wait"},
    "helm repo": set(),
    "helm upgrade": {"namespace", "version", "set", "values", "install", "reuse-values", "wait"},
    "docker login": {"username", "password-stdin"},
    "docker buildx": {"platform", "target", "tag", "push", "use"},
    "curl -fsSLO": set(),
}
"""Options of other programs.  Sources: Helm 3 ``cmd/helm``; Docker CLI ``cli/command/registry``; buildx."""


def kebab(name: str) -> str:
    """A name of a service's model as the AWS CLI spells it (``botocore.xform_name``)."""
    from botocore import xform_name

    spelt: str = xform_name(name, "-")
    return spelt


def aws(arguments: list[str]) -> str:
    """What it prints; an exception where the AWS CLI has no such command."""
    import jmespath
    from botocore.session import get_session

    service, command, *rest = arguments
    given = [each.removeprefix("--") for each in rest if each.startswith("--")]
    if (service, command) in OWN:
        unknown = set(given) - OWN[service, command] - GLOBAL
        return said(service, command, unknown, "password")
    model = get_session().get_service_model(service)  # raises for one that is unknown
    (operation,) = [each for each in model.operation_names if kebab(each) == command] or [None]
    if operation is None:
        raise SystemExit(f"aws: {service} has no {command}")
    shapes = model.operation_model(operation)
    members = {kebab(name): name for name in shapes.input_shape.members} if shapes.input_shape else {}
    switches = {
        f"no-{name}" for name, real in members.items() if shapes.input_shape.members[real].type_name == "boolean"
    }
    required = {kebab(name) for name in shapes.input_shape.required_members} if shapes.input_shape else set()
    if missing := required - set(given):
        raise SystemExit(f"aws: {service} {command} needs {missing}")
    if "query" in given:
        query = rest[rest.index("--query") + 1]
        jmespath.compile(query)
        (first,) = re.findall(r"^\w+", query)
        if first not in shapes.output_shape.members:
            raise SystemExit(f"aws: {service} {command} answers {sorted(shapes.output_shape.members)}, and not {first}")
    return said(service, command, set(given) - set(members) - switches - GLOBAL, ACCOUNT)


def said(service: str, command: str, unknown: set[str], answer: str) -> str:
    """*answer*, unless an option is *unknown*."""
    if unknown:
        raise SystemExit(f"aws: {service} {command} has no option {unknown}")
    return answer


def other(program: str, arguments: list[str]) -> str:
    """The same for a program whose options are listed here."""
    known = SWITCHES[f"{program} {arguments[0]}"]
    given = {each.removeprefix("--").partition("=")[0] for each in arguments if each.startswith("--")}
    if "password-stdin" in given:
        sys.stdin.read()
    if given - known:
        raise SystemExit(f"{program}: no option {given - known}")
    return ""


def main(program: str, *arguments: str) -> None:
    """Print what *program* does."""
    answer = aws(list(arguments)) if program == "aws" else other(program, list(arguments))
    if answer:
        print(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
