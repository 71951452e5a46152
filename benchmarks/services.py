"""Make services that were not written for Tare, try Tare on each, and write the table of docs/try.md.

    python benchmarks/services.py make FOLDER     the starters of frameworks, and packages of registries
    python benchmarks/services.py run FOLDER      `tare try` on each; FOLDER/results has the runs
    python benchmarks/services.py table FOLDER    the table, from the runs

Each service gets a naive Dockerfile, such as a first try has: one stage, on the image of the language. It is the row
`yours`. pip, npm, Cargo, Go and Maven use the settings of this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Service:
    """`flags` are those that `tare try` needs; `made` is how a reader gets the folder, in words."""

    name: str
    made: str
    make: Callable[[Path], None]
    naive: str
    flags: tuple[str, ...] = ()


def _run(folder: Path, *command: str, **environment: str) -> None:
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, "CI": "1", **environment}, stdout=sys.stderr)


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _pip(folder: Path) -> None:
    _run(
        folder.parent,
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--no-binary",
        ":all:",
        "httpbin==0.10.4",
    )
    with tarfile.open(folder.parent / "httpbin-0.10.4.tar.gz") as archive:
        archive.extractall(folder.parent, filter="data")
    folder.rmdir()
    (folder.parent / "httpbin-0.10.4").rename(folder)


def _django(folder: Path) -> None:
    environment = folder.parent / "django-venv"
    _run(folder.parent, sys.executable, "-m", "venv", str(environment))
    _run(folder, str(environment / "bin/pip"), "install", "-q", "django==5.2.8")
    _run(folder, str(environment / "bin/django-admin"), "startproject", "shop", ".")
    settings = folder / "shop" / "settings.py"
    text = settings.read_text().replace("django.db.backends.sqlite3", "django.db.backends.postgresql")
    settings.write_text(text.replace("ALLOWED_HOSTS = []", "ALLOWED_HOSTS = ['*']"))
    _write(folder, {"requirements.txt": "django==5.2.8\ngunicorn==23.0.0\npsycopg2==2.9.11\n"})


def _nest(folder: Path) -> None:
    folder.rmdir()
    _run(folder.parent, "npx", "-y", "@nestjs/cli@11", "new", folder.name, "--skip-install", "--skip-git", "-p", "npm")
    _run(folder, "npm", "install", "--package-lock-only", "--silent")


def _express(folder: Path) -> None:
    folder.rmdir()
    _run(folder.parent, "npx", "-y", "express-generator@4", "--no-view", folder.name)
    _run(folder, "npm", "install", "--package-lock-only", "--silent", "better-sqlite3@12.6.2")
    text = (folder / "app.js").read_text()
    (folder / "app.js").write_text(
        "require('better-sqlite3')(':memory:').exec('create table visits (at text)');\n" + text
    )


def _next(folder: Path) -> None:
    folder.rmdir()
    options = "--ts --app --no-eslint --no-tailwind --no-src-dir --use-npm --skip-install --disable-git"
    words = [*options.split(), "--no-react-compiler", "--import-alias", "@/*"]
    _run(folder.parent, "npx", "-y", "create-next-app@16", folder.name, *words)
    _run(folder, "npm", "install", "--package-lock-only", "--silent")


POM = """<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
{head}
  <artifactId>shop</artifactId>
  <version>0.0.1-SNAPSHOT</version>
  <properties>
{properties}
  </properties>
{rest}
</project>
"""


def _dependency(group: str, artifact: str, version: str = "", more: str = "") -> str:
    number = f"<version>{version}</version>" if version else ""
    return f"    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>{number}{more}</dependency>\n"


def _spring(folder: Path) -> None:
    boot = "org.springframework.boot"
    head = f"""  <parent>
    <groupId>{boot}</groupId>
    <artifactId>spring-boot-starter-parent</artifactId>
    <version>3.5.7</version>
  </parent>
  <groupId>com.example</groupId>"""
    needs = "".join(_dependency(boot, f"spring-boot-starter-{name}") for name in ("web", "actuator"))
    plugin = f"<plugin><groupId>{boot}</groupId><artifactId>spring-boot-maven-plugin</artifactId></plugin>"
    rest = f"  <dependencies>\n{needs}  </dependencies>\n  <build><plugins>{plugin}</plugins></build>"
    _write(folder, {
        "pom.xml": POM.format(head=head, properties="    <java.version>21</java.version>", rest=rest),
        "src/main/resources/application.properties": "spring.application.name=shop\n",
        "src/main/java/com/example/shop/ShopApplication.java": """package com.example.shop;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

@SpringBootApplication
public class ShopApplication {

	public static void main(String[] args) {
		SpringApplication.run(ShopApplication.class, args);
	}

}
""",
    })  # fmt: skip


def _quarkus(folder: Path) -> None:
    bom = "<groupId>io.quarkus</groupId><artifactId>quarkus-bom</artifactId><version>3.33.2</version>"
    goals = "<goals><goal>build</goal><goal>generate-code</goal></goals>"
    rest = f"""  <dependencyManagement><dependencies>
    <dependency>{bom}<type>pom</type><scope>import</scope></dependency>
  </dependencies></dependencyManagement>
  <dependencies>
{_dependency("io.quarkus", "quarkus-rest")}{_dependency("io.quarkus", "quarkus-arc")}  </dependencies>
  <build><plugins><plugin>
    <groupId>io.quarkus</groupId><artifactId>quarkus-maven-plugin</artifactId><version>3.33.2</version>
    <extensions>true</extensions><executions><execution>{goals}</execution></executions>
  </plugin></plugins></build>"""
    release = "\n".join(f"    <maven.compiler.{name}>21</maven.compiler.{name}>" for name in ("source", "target"))
    _write(folder, {
        "pom.xml": POM.format(head="  <groupId>org.acme</groupId>", properties=release, rest=rest),
        "src/main/resources/application.properties": "quarkus.http.port=8081\n",
        "src/main/java/org/acme/GreetingResource.java": """package org.acme;

import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;

@Path("/hello")
public class GreetingResource {

    @GET
    @Produces(MediaType.TEXT_PLAIN)
    public String hello() {
        return "Hello from Quarkus REST";
    }
}
""",
    })  # fmt: skip


def _javalin(folder: Path) -> None:
    needs = _dependency("io.javalin", "javalin", "6.7.0") + _dependency("org.slf4j", "slf4j-simple", "2.0.17")
    release = "\n".join(f"    <maven.compiler.{name}>21</maven.compiler.{name}>" for name in ("source", "target"))
    _write(folder, {
        "pom.xml": POM.format(
            head="  <groupId>org.acme</groupId>", properties=release,
            rest=f"  <dependencies>\n{needs}  </dependencies>",
        ),
        "src/main/java/org/acme/Main.java": """package org.acme;

import io.javalin.Javalin;

public class Main {
    public static void main(String[] args) {
        var app = Javalin.create(/*config*/)
            .get("/", ctx -> ctx.result("Hello World"))
            .start(7070);
    }
}
""",
    })  # fmt: skip


def _gin(folder: Path) -> None:
    _write(folder, {"main.go": """package main

import (
	"database/sql"
	"net/http"

	"github.com/gin-gonic/gin"
	_ "github.com/mattn/go-sqlite3"
)

func main() {
	db, err := sql.Open("sqlite3", "/var/lib/shop/shop.db")
	if err != nil {
		panic(err)
	}
	if _, err := db.Exec("create table if not exists visits (at text)"); err != nil {
		panic(err)
	}
	r := gin.Default()
	r.GET("/ping", func(c *gin.Context) {
		c.JSON(http.StatusOK, gin.H{"message": "pong"})
	})
	r.Run() // listen and serve on 0.0.0.0:8080
}
"""})  # fmt: skip
    _run(folder, "go", "mod", "init", "example.com/shop")
    _run(folder, "go", "get", "github.com/gin-gonic/gin@v1.10.1", "github.com/mattn/go-sqlite3@v1.14.46")
    _run(folder, "go", "mod", "tidy")
    _run(folder, "go", "mod", "edit", "-go=1.24", "-toolchain=none")


def _axum(folder: Path) -> None:
    _run(folder.parent, "cargo", "init", "-q", "--vcs", "none", "--name", "shop", folder.name)
    _write(folder, {
        "Cargo.toml": """[package]
name = "shop"
version = "0.1.0"
edition = "2021"
rust-version = "1.85"

[dependencies]
axum = "0.8"
native-tls = "0.2"
tokio = { version = "1", features = ["rt-multi-thread", "macros", "net"] }
""",
        "src/main.rs": """use axum::{routing::get, Router};

#[tokio::main]
async fn main() {
    native_tls::TlsConnector::new().expect("TLS");
    let app = Router::new().route("/", get(|| async { "Hello, World!" }));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:3000").await.unwrap();
    axum::serve(listener, app).await.unwrap();
}
""",
    })  # fmt: skip
    _run(folder, "cargo", "generate-lockfile", "-q", CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS="fallback")


def _job(folder: Path) -> None:
    _write(folder, {
        "requirements.txt": "python-dateutil==2.9.0.post0\ntabulate==0.9.0\n",
        "report.py": """import datetime
import getpass
import sys
import zoneinfo

from dateutil.relativedelta import relativedelta
from tabulate import tabulate


def main():
    now = datetime.datetime.now(zoneinfo.ZoneInfo("Europe/Berlin"))
    rows = [(n, (now + relativedelta(months=n)).date()) for n in range(12)]
    print(tabulate(rows, headers=["month", f"due for {getpass.getuser()}"]))


if __name__ == "__main__":
    sys.exit(main())
""",
    })  # fmt: skip


def _simple(base: str, build: str, command: str, port: int = 0) -> str:
    expose = f"EXPOSE {port}\n" if port else ""
    step = f"RUN {build}\n" if build else ""
    return f"FROM {base}\nWORKDIR /app\nCOPY . .\n{step}{expose}CMD {json.dumps(command.split())}\n"


_MVN = "maven:3.9-eclipse-temurin-21"
_PG = "apt-get update && apt-get install -y gcc libpq-dev python3-dev && pip install -r requirements.txt"
_GCC = "apt-get update && apt-get install -y gcc libc6-dev && go build -o /app/shop . && mkdir /var/lib/shop"
_SSL = "apt-get update && apt-get install -y libssl-dev pkg-config && cargo build --release"
_GUNICORN = "gunicorn --bind 0.0.0.0:8000"
_CLASSES = "target/shop-0.0.1-SNAPSHOT.jar:target/dependency/*"
SERVICES = (
    Service(name="flask-httpbin", made="httpbin 0.10.4 from PyPI: Flask, gunicorn", make=_pip,
            naive=_simple("python:3.13", "pip install '.[mainapp]'", f"{_GUNICORN} httpbin.core:app", 8000)),
    Service(name="django-postgres", made="`django-admin startproject`, psycopg2, gunicorn", make=_django,
            naive=_simple("python:3.13", _PG, f"{_GUNICORN} shop.wsgi", 8000)),
    Service(name="nest", made="`nest new`", make=_nest,
            naive=_simple("node:20", "npm ci && npm run build", "node dist/main.js", 3000)),
    Service(name="express-sqlite", made="`express-generator`, better-sqlite3", make=_express,
            naive=_simple("node:20", "npm ci", "node ./bin/www", 3000)),
    Service(name="next", made="`create-next-app`", make=_next,
            naive=_simple("node:20", "npm ci && npm run build", "npm start", 3000)),
    Service(name="spring-actuator", made="as Spring Initializr writes it: web, actuator", make=_spring,
            naive=_simple(_MVN, "mvn -q package", "java -jar target/shop-0.0.1-SNAPSHOT.jar", 8080)),
    Service(name="quarkus", made="as code.quarkus.io writes it: rest", make=_quarkus, flags=("--health", "/hello"),
            naive=_simple(_MVN, "mvn -q package", "java -jar target/quarkus-app/quarkus-run.jar", 8081)),
    Service(name="javalin", made="Javalin's first example, Maven without plugins", make=_javalin,
            naive=_simple(_MVN, "mvn -q package dependency:copy-dependencies",
                          f"java -cp {_CLASSES} org.acme.Main", 7070)),
    Service(name="gin-sqlite", made="gin's first example, go-sqlite3 (cgo)", make=_gin,
            naive=_simple("golang:1.24", _GCC, "/app/shop", 8080)),
    Service(name="axum-tls", made="axum's first example, native-tls (OpenSSL)", make=_axum,
            naive=_simple("rust:1.85", _SSL, "/app/target/release/shop", 3000)),
    Service(name="job", made="a Python script that prints a report and ends", make=_job, flags=("--until", "exit"),
            naive=_simple("python:3.13", "pip install -r requirements.txt", "python report.py")),
)  # fmt: skip


def make(folder: Path, names: list[str]) -> None:
    for service in SERVICES:
        target = folder / service.name
        if names and service.name not in names:
            continue
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        service.make(target)
        (target / "Dockerfile").write_text(service.naive)
        print(f"made: {target}")


def run(folder: Path, names: list[str], extra: list[str]) -> None:
    for service in SERVICES:
        if names and service.name not in names:
            continue
        command = [sys.executable, "-m", "harness", "try", str(folder / service.name), *service.flags, *extra]
        results = folder / "results" / service.name
        with (folder / f"{service.name}.log").open("w") as log:
            done = subprocess.run(
                [*command, "--results", str(results)], stdout=log, stderr=subprocess.STDOUT, check=False
            )
        print(f"{service.name}: exit code {done.returncode}", flush=True)


def table(folder: Path) -> str:
    """Markdown: a row for each service that has a run, from its newest run."""
    from harness.run.workers import PREPARE, REMEDY
    from harness.service.detect import detect
    from harness.store.run import latest, read_run

    lines = [
        "| service | found | flag | worked at once | worked with a remedy | failed | bytes a node fetches |",
        "|---|---|---|---|---|---|---|",
    ]
    for service in SERVICES:
        results = folder / "results" / service.name
        if not results.is_dir():
            continue
        run_ = read_run(latest(results))
        own = detect(folder / service.name, job="--until" in service.flags)
        found = (
            f"{own.kind}; `{' '.join(own.entry)}`; {f'port {own.port}' if own.port else 'no port'}; {own.health or '–'}"
        )
        names = {cell.id: cell.strategy for cell in run_.manifest.cells}
        last = {try_.cell: try_ for try_ in run_.tries() if try_.probe == PREPARE}
        mended = {names[cell]: try_.notes[REMEDY] for cell, try_ in last.items() if try_.notes.get(REMEDY)}
        worked = [names[cell] for cell, try_ in last.items() if try_.status == "ok"]
        sizes = {
            names[cell]: float(s.value[0]) for (cell, metric), s in run_.series().items() if metric == "size.transfer"
        }
        best = min(sizes, key=lambda name: sizes[name])
        yours, least = sizes.get("yours", 0.0), sizes[best]
        saving = f"{yours / 1e6:.1f} MB → {least / 1e6:.1f} MB ({best}), {yours / least:.1f}× smaller"
        cells = (
            f"{service.name}: {service.made}",
            found,
            f"`{' '.join(service.flags)}`" if service.flags else "–",
            ", ".join(name for name in worked if name not in mended) or "–",
            "; ".join(f"{name}: {why}" for name, why in mended.items() if name in worked) or "–",
            ", ".join(f"{names[cell]}: {try_.reason[:60]}" for cell, try_ in last.items() if try_.status != "ok")
            or "–",
            saving if "yours" in sizes else "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "run", "table"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    options, extra = parser.parse_known_args()
    options.folder = options.folder.resolve()
    if options.what == "make":
        make(options.folder, options.names)
    elif options.what == "run":
        run(options.folder, options.names, extra)
    else:
        print(table(options.folder), end="")
