"""The Dockerfiles of a service: those of variants/ for its language, with what is its own put in.

So there is one text of each strategy. An edit that no longer finds its place in that text is an error of Tare, which a
test of every strategy and language finds.
"""

from __future__ import annotations

import json
import re

from harness.errors import UsageError
from harness.service.found import OwnService

IGNORED = """\
.git
.gitignore
.dockerignore
Dockerfile*
*.Dockerfile
compose*.y*ml
docker-compose*.y*ml
app.toml
.env*
.idea
.vscode
.venv
venv
**/__pycache__
**/*.pyc
node_modules
target
results
"""
_STATIC = (
    "RUN --mount=type=cache,target=/var/cache/go go build"
    ' -tags netgo,osusergo,sqlite_omit_load_extension -ldflags="-s -w -linkmode external -extldflags -static"'
)

_UNPACKED = """\
# A library that is a module may require libraries that are none; jdeps then gives up. So it reads classes alone.
RUN find "$PWD" -name '*.jar' \\
      -exec sh -c 'mkdir -p "/classes/${1##*/}" && cd "/classes/${1##*/}" && jar xf "$1"' _ {} \\;; \\
    find /classes -name module-info.class -delete; \\
"""


def dockerfile(text: str, service: OwnService, strategy: str) -> str:
    """The Dockerfile `text` of a strategy, for this service. Raises UsageError if there is none for its kind."""
    edits = {
        "go": _go,
        "python": _python,
        "node": _node,
        "rust": _rust,
        "java": _java,
        "spring": _spring,
        "maven": _maven,
    }
    if service.kind not in edits:
        what = f"Tare writes no Dockerfiles for a service built by {service.kind} yet"
        fix = "Put a Dockerfile into the folder: it is measured as the row `yours`."
        raise UsageError(what, where=str(service.folder), fix=fix)
    text = edits[service.kind](text, service, strategy)
    return _replaced(text, "EXPOSE 8080\n", f"EXPOSE {service.port}\n" if service.port else "")


def variants_of(service: OwnService) -> str:
    """The name of the Dockerfiles of variants/ that this service's are made from."""
    return "spring" if service.kind == "maven" else service.kind


def ignored(service: OwnService) -> str:
    """A .dockerignore for a service whose folder has none. A folder that holds its entry point is kept."""
    first = service.entry[0].partition("/")[0] if service.entry else ""
    return "".join(f"{line}\n" for line in IGNORED.splitlines() if line != first)


def _go(text: str, service: OwnService, strategy: str) -> str:
    text = _substituted(text, r"(go build.* -o \S+) \.$", rf"\g<1> {service.entry[0]}")
    if service.cgo and strategy != "full":
        text = _with_c(text, strategy)
    if strategy in ("full", "slim"):
        return text
    if service.data:
        copies = "".join(f"COPY --from=build /src/{name} /app/{name}\n" for name in service.data)
        text = _substituted(text, r"^(COPY --from=build /out/server .*\n)", rf"\g<1>{copies}")
        if strategy == "scratch":
            text = _replaced(text, "USER 65532\n", "WORKDIR /app\nUSER 65532\n")
    return text


def _with_c(text: str, strategy: str) -> str:
    """With a C compiler; linked to nothing where the last stage has no C library of its own."""
    text = _replaced(text, "CGO_ENABLED=0", "CGO_ENABLED=1")
    if strategy == "slim":
        return _replaced(text, "golang-go", "gcc golang-go libc6-dev")
    install = (
        "# The service has parts in C.\n"
        "RUN apt-get update \\\n && apt-get install -y --no-install-recommends gcc libc6-dev \\\n"
        " && rm -rf /var/lib/apt/lists/*\n"
    )
    text = _substituted(text, r"^(FROM \S+ AS build\n)", rf"\g<1>{_escaped(install)}")
    if strategy == "multi-stage":
        return text
    return _substituted(text, r'^RUN --mount=type=cache,target=/var/cache/go go build -ldflags="-s -w"', _STATIC)


def _python(text: str, service: OwnService, strategy: str) -> str:
    words = ", ".join(json.dumps(word) for word in service.entry)
    text = _replaced(text, '"main.py"', words)
    if strategy != "full" and "with hashes" not in (f.why for f in service.findings if f.name == "lock"):
        text = _replaced(text, "--require-hashes ", "")
    if service.lock and service.lock != "requirements.txt":
        text = _replaced(
            text, "-r requirements.txt", service.install if service.install == "." else f"'{service.install}'"
        )
        return text if strategy == "full" else _replaced(text, "COPY requirements.txt ./", "COPY . .")
    if not service.lock:
        text = re.sub(r"^COPY requirements\.txt \./\n", "", text, flags=re.MULTILINE)
        text = re.sub(r"^# And so does pip's cache.*\n# hadolint ignore=DL3042\n", "", text, flags=re.MULTILINE)
        text = re.sub(r"^RUN pip install .*\n", "", text, flags=re.MULTILINE)
        text = re.sub(r" \\\n && \S+(?: -m pip)? .*-r requirements\.txt$", "", text, flags=re.MULTILINE)
        text = re.sub(r"^RUN --mount=type=cache,target=/root/\.cache/pip \\\n +", "RUN ", text, flags=re.MULTILINE)
    return text


def _node(text: str, service: OwnService, strategy: str) -> str:
    text = _replaced(text, '"server.js"', ", ".join(json.dumps(word) for word in service.entry))
    if service.lock and service.lock != "package-lock.json":
        text = text.replace("package-lock.json", service.lock)
    if not service.lock and strategy != "full":
        text = _replaced(text, "COPY package.json package-lock.json ./", "COPY package.json ./")
        text = _replaced(text, "npm ci", "npm install")
    if not service.build:
        return text
    run = f"npm run {service.build}"
    if strategy == "full":
        return _replaced(text, "RUN npm install\n", f"RUN npm install && {run}\n")
    text = _replaced(text, " --omit=dev", " --include=dev")
    if strategy == "slim":
        return _replaced(text, "COPY . .\n", f"COPY . .\nRUN {run} && npm prune --omit=dev\n")
    text = _substituted(
        text,
        r"^(RUN --mount=type=cache,target=/root/\.npm npm .*\n)",
        rf"\g<1>COPY . .\nRUN {run} && npm prune --omit=dev\n",
    )
    built = "COPY --from=build /app ./\n"
    return _replaced(text, "COPY --from=build /app/node_modules ./node_modules\nCOPY . .\n", built)


def _rust(text: str, service: OwnService, strategy: str) -> str:
    text = _replaced(text, "release/service", f"release/{service.entry[0]}")
    if strategy == "slim" and service.entry[0] != "service":
        text = _replaced(
            text, f"cp target/release/{service.entry[0]} ./", f"cp target/release/{service.entry[0]} service"
        )
    if not service.lock and strategy != "full":
        text = _replaced(text, " --locked", "")
    if service.data and strategy not in ("full", "slim"):
        copies = "".join(f"COPY {name} /app/{name}\n" for name in service.data)
        text = _substituted(text, r"^(COPY --from=build /out/service .*\n)", rf"\g<1>{copies}")
        if strategy == "scratch":
            text = _replaced(text, "USER 65532\n", "WORKDIR /app\nUSER 65532\n")
    return text


def _spring(text: str, service: OwnService, strategy: str) -> str:  # noqa: ARG001 - as every kind has it
    jar = service.entry[0]
    text = text.replace("target/service.jar", jar).replace("/app/service.jar", f"/app/{jar.rpartition('/')[2]}")
    return _without_tests(text)


def _without_tests(text: str) -> str:
    """Tests may need what no build has: a database, an engine."""
    return re.sub(r"(mvn [^\n]*?)package\b", r"\1-DskipTests package", text)


def _maven(text: str, service: OwnService, strategy: str) -> str:
    """Spring's Dockerfiles, if the build makes another jar: one with all libraries, one beside a folder of libraries
    (Quarkus), or one without libraries, which Maven then copies.
    """
    jar = service.entry[0]
    folder, _, name = jar.rpartition("/")
    text = _without_tests(text)
    text = text.replace(
        "RUN --mount=type=cache,target=/root/.m2 mvn --batch-mode --no-transfer-progress dependency:go-offline\n", ""
    )
    text = text.replace("COPY pom.xml ./\n", "").replace("COPY src ./src\n", "COPY . .\n")
    libraries = "dependency" if service.main else "lib" if folder != "target" else ""
    if service.main:
        copied = " package dependency:copy-dependencies -DincludeScope=runtime"
        text = _replaced(text, " package", copied)
    if strategy == "full":
        return _started(text, '["java", "-jar", "target/service.jar"]', service, jar, "target/dependency")
    if strategy == "slim":
        made = "cp -a target/quarkus-app/. ./" if folder != "target" else f"cp {jar} ./"
        made += " && cp -a target/dependency ./" if service.main else ""
        text = _replaced(text, "java -Djarmode=tools -jar target/service.jar extract --force --destination .", made)
        return _started(text, '["java", "-jar", "/app/service.jar"]', service, f"/app/{name}", "/app/dependency")
    made = (
        f"mkdir -p /layers && cp -a {folder}/. /layers/" if folder != "target" else f"install -D {jar} /layers/{name}"
    )
    made += " \\\n && cp -a target/dependency /layers/" if service.main else ""
    text = _replaced(text, "java -Djarmode=tools -jar target/service.jar extract --layers --destination /layers", made)
    if not libraries:
        text = text.replace(
            "# What changes seldom comes apart from what changes often, so that each is a layer of its own.\n", ""
        )
    copies = "".join(f"COPY --from=build /layers/{part}/ ./{part}/\n" for part in [libraries] if part)
    last, rest = f"{copies}COPY --from=build /layers/ ./\n", text
    if libraries == "lib":
        last = copies + "".join(f"COPY --from=build /layers/{part} ./{part}\n" for part in ("app", "quarkus", name))
    elif libraries:
        last = f"{copies}COPY --from=build /layers/{name} ./\n"
    spring = "".join(
        f"COPY --from=build /layers/{part}/ ./\n"
        for part in ("dependencies", "spring-boot-loader", "snapshot-dependencies", "application")
    )
    text = _replaced(rest, spring, last)
    if strategy == "scratch":
        text = _replaced(text, "COPY --from=build /layers/dependencies/ ./\n", "COPY --from=build /layers/ ./\n")
        text = _replaced(text, "RUN modules=$(jdeps ", _UNPACKED + "    modules=$(jdeps ")
        text = _replaced(text, "lib/*.jar)", "/classes/*)")
    program = '"/opt/java/bin/java"' if strategy == "scratch" else '"java"'
    return _started(text, f'[{program}, "-jar", "/app/service.jar"]', service, f"/app/{name}", "/app/dependency")


def _started(text: str, old: str, service: OwnService, jar: str, libraries: str) -> str:
    """The command with this jar, and with its libraries if the jar is without them."""
    words = json.loads(old)
    words = [words[0], "-cp", f"{jar}:{libraries}/*", service.main] if service.main else [*words[:-1], jar]
    return _replaced(text, old, json.dumps(words))


def _java(text: str, service: OwnService, strategy: str) -> str:  # noqa: ARG001 - as every kind has it
    return text


def _replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        raise ValueError(f"{old!r} is not in the Dockerfile")
    return text.replace(old, new)


def _substituted(text: str, pattern: str, new: str) -> str:
    found, count = re.subn(pattern, new, text, flags=re.MULTILINE)
    if not count:
        raise ValueError(f"{pattern!r} is not in the Dockerfile")
    return found


def _escaped(text: str) -> str:
    """A text as re.sub takes it literally."""
    return text.replace("\\", "\\\\")
