"""The packages of an image as software bills of materials: CycloneDX 1.6 and SPDX 2.3, both JSON.

CycloneDX is written by cyclonedx-python-lib; SPDX by hand, by its specification (https://spdx.github.io/spdx-spec/v2.3).
Both are reproducible: the same image gives the same bytes. Their number and date come from the image.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from harness.store.format import encode
from harness.surface.finding import DISTRIBUTION, Ecosystem, Package
from harness.surface.inventory import Inventory

if TYPE_CHECKING:
    from cyclonedx.model.component_evidence import AnalysisTechnique, ComponentEvidence

_NAMESPACE = uuid.UUID("1c3e1ad2-6a6b-5d5c-9c55-9d0f8c1ee7a1")  # ours: ids of documents are made from image ids


# The distribution of packages if the image has no os-release.
_VENDORS = {Ecosystem.DEB: "debian", Ecosystem.APK: "alpine", Ecosystem.RPM: "redhat", Ecosystem.PACMAN: "arch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The subject of a document."""

    name: str  # go-scratch
    image: str  # its id, sha256:…
    created: str  # RFC 3339, as the image's configuration says; "" if it does not
    version: str  # of Tare, that wrote it

    @property
    def number(self) -> uuid.UUID:
        return uuid.uuid5(_NAMESPACE, f"{self.image} {self.name}")

    @property
    def moment(self) -> datetime:
        try:
            # Go writes nanoseconds, Python reads microseconds
            head, _, _ = self.created.removesuffix("Z").partition(".")
            return datetime.fromisoformat(head).replace(tzinfo=UTC)
        except ValueError:
            return datetime.fromtimestamp(0, UTC)


def purl(package: Package, system: Mapping[str, str]) -> str:
    """The package URL (https://github.com/package-url/purl-spec) of a package on a distribution (its os-release)."""
    from packageurl import PackageURL

    qualifiers = {}
    namespace = package.group.replace(".", "/") if package.ecosystem is Ecosystem.GO else package.group
    name, version = package.name, package.version
    if package.ecosystem in DISTRIBUTION:
        namespace = system.get("ID") or _VENDORS[package.ecosystem]
        if package.architecture:
            qualifiers["arch"] = package.architecture
        if package.ecosystem is Ecosystem.RPM and ":" in version:
            qualifiers["epoch"], _, version = version.partition(":")
        if package.source or package.source_version:  # the form that syft writes and scanners read
            source = package.source or package.name
            qualifiers["upstream"] = f"{source}@{package.source_version}" if package.source_version else source
        if system.get("VERSION_ID"):
            qualifiers["distro"] = f"{namespace}-{system['VERSION_ID']}"
    elif package.ecosystem is Ecosystem.GO:
        namespace, _, name = package.name.rstrip("/").rpartition("/")
    name = name.strip("/") or "unknown"  # a file may claim any name, and a package URL needs one
    return PackageURL(package.ecosystem.value, namespace or None, name, version or None, qualifiers).to_string()


def cyclonedx(inventory: Inventory, subject: Subject) -> bytes:
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.dependency import Dependency
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    bom = Bom(serial_number=subject.number)
    bom.metadata.timestamp = subject.moment
    image = Component(type=ComponentType.CONTAINER, name=subject.name, version=subject.image, bom_ref="image")
    bom.metadata.component = image
    bom.metadata.tools.components.add(Component(type=ComponentType.APPLICATION, name="tare", version=subject.version))
    found = [
        Component(
            type=ComponentType.APPLICATION if package.application else ComponentType.LIBRARY,
            name=package.name,
            group=package.group or None,
            version=package.version or None,
            purl=PackageURL.from_string(reference),
            bom_ref=reference,
            properties=[
                *(Property(name="tare:location", value=path) for path in paths),
                *(Property(name="tare:evidence", value=text) for text in evidence),
            ],
            evidence=_evidence(evidence),
        )
        for reference, package, paths, evidence in _merged(inventory)
    ]
    bom.components.update(found)
    leaves = [Dependency(ref=component.bom_ref) for component in found]
    bom.dependencies = [Dependency(ref=image.bom_ref, dependencies=leaves), *leaves]
    # All are registered now. Otherwise the writer would look through all of them for each: a second for 2 000 packages.
    bom.register_dependency = lambda *_, **__: None  # type: ignore[method-assign]
    return JsonV1Dot6(bom).output_as_string().encode()


def spdx(inventory: Inventory, subject: Subject) -> bytes:
    described: dict[str, Any] = {
        "SPDXID": "SPDXRef-image",
        "name": subject.name,
        "versionInfo": subject.image,
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
    }
    listed = [described]
    relationships = [_relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image")]
    for number, (reference, package, paths, evidence) in enumerate(_merged(inventory)):
        name = f"SPDXRef-package-{number}"
        full = f"{package.group}/{package.name}" if package.group else package.name
        listed.append(
            {
                "SPDXID": name,
                "name": full,
                **({"versionInfo": package.version} if package.version else {}),
                "downloadLocation": "NOASSERTION",
                "filesAnalyzed": False,
                "sourceInfo": "found in " + ", ".join(paths) + "".join(f"; known by {text}" for text in evidence),
                "externalRefs": [
                    {
                        "referenceCategory": "PACKAGE-MANAGER",
                        "referenceType": "purl",
                        "referenceLocator": reference,
                    }
                ],
            }
        )
        relationships.append(_relation("SPDXRef-image", "CONTAINS", name))
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "documentNamespace": f"https://tare.invalid/spdx/{subject.number}",
        "creationInfo": {
            "created": subject.moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: tare-{subject.version}"],
        },
        "packages": listed,
        "relationships": relationships,
    }
    return encode(document)


def _merged(inventory: Inventory) -> Iterator[tuple[str, Package, list[str], list[str]]]:
    """Each package URL once, with all the places that it was found in and, if it was traced, the evidence.

    A library without a version has only a name, which no scanner can judge; it is listed all the same.
    """
    places: dict[str, tuple[Package, set[str], set[str]]] = {}
    for item in inventory.packages:
        reference = purl(item.package, inventory.system)
        path = f"{item.path}!/{item.package.inside}" if item.package.inside else item.path
        _, paths, evidence = places.setdefault(reference, (item.package, set(), set()))
        paths.add(_printable(path))
        if item.is_traced:
            evidence.add(_printable(f"{item.evidence}: {item.origin}" if item.origin else item.evidence.value))
    for reference, (package, paths, evidence) in sorted(places.items()):
        yield reference, package, sorted(paths), sorted(evidence)


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _evidence(said: Sequence[str]) -> ComponentEvidence | None:
    """The evidence of a traced component, in CycloneDX's own terms."""
    from cyclonedx.model.component_evidence import ComponentEvidence, Identity, IdentityField, Method

    if not said:
        return None
    methods = []
    for text in said:
        technique, confidence = _technique(text)
        methods.append(Method(technique=technique, confidence=confidence, value=text))
    surest = max(method.confidence for method in methods)
    return ComponentEvidence(identity=[Identity(field=IdentityField.PURL, confidence=surest, methods=methods)])


def _technique(said: str) -> tuple[AnalysisTechnique, Decimal]:
    """The technique of a piece of evidence, and its confidence: equal bytes are surer than a name."""
    from cyclonedx.model.component_evidence import AnalysisTechnique

    techniques = {
        "content": (AnalysisTechnique.HASH_COMPARISON, Decimal("0.99")),
        "path": (AnalysisTechnique.FILENAME, Decimal("0.7")),
        "ELF note": (AnalysisTechnique.MANIFEST_ANALYSIS, Decimal("0.95")),
        "release file": (AnalysisTechnique.MANIFEST_ANALYSIS, Decimal("0.95")),
        "version string": (AnalysisTechnique.BINARY_ANALYSIS, Decimal("0.8")),
        "SONAME": (AnalysisTechnique.BINARY_ANALYSIS, Decimal("0.4")),
    }
    return techniques[said.partition(":")[0]]


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
