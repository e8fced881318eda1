"""Kinds of objects that the double of the API server knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VERBS = ["create", "delete", "get", "list", "patch", "watch"]


@dataclass(frozen=True)
class Kind:
    """A kind of objects.

    Attributes
    ----------
    group, version : str
        Group of the API, empty for its core, and version.
    name, plural : str
        Names in objects and in paths.
    short : tuple of str
        Names for the impatient.
    namespaced : bool
        Whether its objects live in namespaces.
    has_status : bool
        Whether the status is changed at a path of its own.
    is_custom : bool
        Whether it was defined by a client, whose controller writes the status.
    """

    group: str
    version: str
    name: str
    plural: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    has_status: bool = False
    is_custom: bool = False

    @property
    def api_version(self) -> str:
        """What stands in objects as their `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def described(self) -> list[dict[str, Any]]:
        """What discovery says of it."""
        own = {
            "name": self.plural,
            "singularName": self.name.lower(),
            "shortNames": list(self.short),
            "namespaced": self.namespaced,
            "kind": self.name,
            "verbs": VERBS,
        }
        status = {**own, "name": f"{self.plural}/status", "singularName": "", "verbs": ["patch"]}
        return [own, status] if self.has_status else [own]


CUSTOM = Kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
)
BUILT_IN = (
    Kind("", "v1", "Namespace", "namespaces", ("ns",), namespaced=False),
    Kind("", "v1", "Pod", "pods", ("po",), has_status=True),
    Kind("", "v1", "Service", "services", ("svc",), has_status=True),
    Kind("", "v1", "Secret", "secrets"),
    Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", ("pvc",), has_status=True),
    Kind("apps", "v1", "Deployment", "deployments", ("deploy",), has_status=True),
    CUSTOM,
)


def defined_by(definition: dict[str, Any]) -> Kind:
    """The kind that a CustomResourceDefinition defines."""
    spec = definition["spec"]
    (version,) = spec["versions"]
    names = spec["names"]
    return Kind(
        spec["group"],
        version["name"],
        names["kind"],
        names["plural"],
        tuple(names.get("shortNames", ())),
        spec["scope"] == "Namespaced",
        "status" in version.get("subresources", {}),
        is_custom=True,
    )
