"""What a folder says of a service, fact by fact with its file and line, and what overrides it."""

from __future__ import annotations

import tomllib

import pytest

from harness.errors import UsageError
from harness.service.detect import app_toml, detect


def folder(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def facts(service):
    return {finding.name: (finding.value, finding.where) for finding in service.findings}


GO = {
    "go.mod": "module example.com/x\n\ngo 1.23\n",
    "cmd/x/main.go": """package main

func main() {
	http.HandleFunc("/healthz", ok)
	http.ListenAndServe(":9090", nil)
}
""",
    "cmd/x/main_test.go": 'package main\n\nvar url = "http://localhost:1234"\n',
}


def test_go(tmp_path):
    service = detect(folder(tmp_path, GO))
    assert facts(service) == {
        "language": ("go", "go.mod"),
        "version": ("1.23", "go.mod:3"),
        "entry": ("./cmd/x", "cmd/x/main.go:3"),
        "port": ("9090", "cmd/x/main.go:5"),
        "health": ("/healthz", "cmd/x/main.go:4"),
    }


def test_c_in_go_and_folders_that_are_read_at_run_time(tmp_path):
    files = {**GO, "go.mod": "module x\nrequire github.com/mattn/go-sqlite3 v1.14.0\n", "templates/a.html": "a"}
    service = detect(folder(tmp_path, files))
    assert service.cgo
    assert service.data == ("templates",)
    assert facts(service)["cgo"] == ("needed", "go.mod:2")


@pytest.mark.parametrize(
    ("files", "entry", "port"),
    [
        (
            {"requirements.txt": "fastapi\nuvicorn\n", "app/main.py": "api = FastAPI()\n"},
            "-m uvicorn app.main:api --host 0.0.0.0 --port 8000",
            8000,
        ),
        (
            {"requirements.txt": "flask\ngunicorn\n", "web.py": "app = Flask(__name__)\n"},
            "-m gunicorn --bind 0.0.0.0:8000 web:app",
            8000,
        ),
        (
            {"requirements.txt": "flask\n", "web.py": "app = Flask(__name__)\n"},
            "-m flask --app web:app run --host 0.0.0.0 --port 5000",
            5000,
        ),
        (
            {
                "requirements.txt": "django\ngunicorn\n",
                "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site1.settings")\n',
            },
            "-m gunicorn --bind 0.0.0.0:8000 site1.wsgi",
            8000,
        ),
        (
            {"requirements.txt": "", "serve.py": 'run(port=9001)\nif __name__ == "__main__":\n    pass\n'},
            "serve.py",
            9001,
        ),
        (
            {"Procfile": "web: gunicorn --bind 0.0.0.0:$PORT a:b\n", "setup.py": ""},
            "-m gunicorn --bind 0.0.0.0:8000 a:b",
            8000,
        ),
    ],
)
def test_python(tmp_path, files, entry, port):
    service = detect(folder(tmp_path, files))
    assert (" ".join(service.entry), service.port) == (entry, port)


@pytest.mark.parametrize(
    ("files", "entry", "port"),
    [
        (
            {
                "package.json": '{"scripts": {"start": "node src/app.js"}}',
                "src/app.js": "app.listen(process.env.PORT || 4000)",
            },
            "src/app.js",
            4000,
        ),
        ({"package.json": '{"main": "index.js"}', "index.js": "http.listen(4100)"}, "index.js", 4100),
        (
            {
                "package.json": '{"scripts": {"start": "nest start", "build": "nest build"}}',
                "src/main.ts": "listen(3000)",
            },
            "dist/main.js",
            3000,
        ),
    ],
)
def test_node(tmp_path, files, entry, port):
    service = detect(folder(tmp_path, files))
    assert (" ".join(service.entry), service.port) == (entry, port)
    assert service.build == ("build" if "nest" in files["package.json"] else "")


def test_rust(tmp_path):
    files = {
        "Cargo.toml": '[package]\nname = "hits"\n',
        "src/main.rs": 'bind("0.0.0.0:7000"); route("/health", get(ok))',
    }
    service = detect(folder(tmp_path, files))
    assert (service.entry, service.port, service.health) == (("hits",), 7000, "/health")


POM = """<project><modelVersion>4.0.0</modelVersion>
<parent><artifactId>spring-boot-starter-parent</artifactId><version>3.5.0</version></parent>
<artifactId>shop</artifactId><version>1.2</version><properties><java.version>21</java.version></properties>
<dependencies><dependency><artifactId>spring-boot-starter-actuator</artifactId></dependency></dependencies></project>
"""


def test_spring(tmp_path):
    files = {"pom.xml": POM, "src/main/resources/application.properties": "server.port=8085\n"}
    service = detect(folder(tmp_path, files))
    assert (service.kind, service.entry, service.port) == ("spring", ("target/shop-1.2.jar",), 8085)
    assert (service.health, service.version) == ("/actuator/health", "21")


def test_the_port_of_the_own_dockerfile_counts(tmp_path):
    service = detect(folder(tmp_path, {**GO, "Dockerfile": "FROM scratch\nEXPOSE 8443/tcp\n"}))
    assert facts(service)["port"] == ("8443", "Dockerfile:2")


def test_a_flag_overrides_app_toml_which_overrides_what_is_found(tmp_path):
    files = {**GO, "app.toml": 'port = 7000\n[ready]\npath = "/up"\n[try]\nentry = "./cmd/y"\n'}
    service = detect(folder(tmp_path, files), {"port": "7001", "health": ""})
    assert (service.port, service.health, service.entry) == (7001, "/up", ("./cmd/y",))
    assert facts(service)["port"] == ("7001", "--port")
    assert facts(service)["health"] == ("/up", "app.toml")


def test_what_is_written_is_read_again(tmp_path):
    service = detect(folder(tmp_path, GO))
    text = app_toml(service, "x")
    assert tomllib.loads(text)["port"] == 9090
    (tmp_path / "app.toml").write_text(text)
    again = detect(tmp_path)
    assert (again.entry, again.port, again.health) == (service.entry, service.port, service.health)


@pytest.mark.parametrize(
    ("files", "given", "words"),
    [
        ({}, {}, "no service was found"),
        ({"package.json": "{}"}, {}, "no entry point"),
        (GO, {"port": "0"}, "no port"),
        (GO, {"language": "cobol"}, "cobol"),
        (GO, {"health": "up"}, "no path"),
        ({**GO, "app.toml": "port ="}, {}, "not TOML"),
    ],
)
def test_what_cannot_be_tried_says_what_to_do(tmp_path, files, given, words):
    with pytest.raises(UsageError, match=words):
        detect(folder(tmp_path, files), given)
