"""The depot's nginx configuration, as text.

Two tiers in one nginx. The front answers builds from the cache, on the address they reach; the back, on a Unix socket,
fetches: it resolves names, verifies TLS, signs in and follows redirects. So a client never leaves the depot, what is
cached is the final answer under the address first asked for, and every failure to fetch is one answer (502) to the
front, which then serves what its cache has.

Builds use the front as a plain HTTP proxy and ask it for the *public* names of registries over http. So the files that
package managers write (lock files, registry folders, caches) hold public names, never the depot's address, and they are
the same whatever mirror the host uses. Addresses on other hosts that an index page leads to are rewritten to
/-/https/<host>/… under the name the page itself was asked by.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.lab.apt.sources import without_credentials
from harness.lab.depot.upstreams import ARCHIVES, PUBLIC, Upstreams
from harness.settings import FRESH

LOG_FIELDS = ("cache", "status", "bytes", "target")  # fields of a line of the access log, separated by tabs
FOREVER = 10 * 365 * 86_400  # s: content that its address names for good
MISSING = 600  # s: answers that there is no such thing

# Addresses whose content never changes, by ecosystem. Everything else is an index, fetched again after FRESH.
_FOREVER = (
    r"/(by-hash|pool)/|\.deb$",  # apt
    r"\.(whl|zip|egg|tar\.(gz|bz2|xz))(\.metadata)?$",  # pip
    r"/-/.*\.tgz$",  # npm
    r"/@v/v[0-9][^/]*\.(info|mod|zip)$",  # Go
    r"^(?!.*(maven-metadata\.xml|SNAPSHOT)).*\.(pom|jar|module|war|aar)(\.(sha1|sha256|sha512|md5|asc))?$",  # Maven
    r"\.crate$|/[0-9][^/]*/download$",  # cargo
)
# The texts by which the pages of an index name addresses. sub_filter has no patterns: each text is a literal.
_PIP_LINKS = ('href="{}', "href='{}", '"url":"{}', '"url": "{}')
_PIP_TYPES = "application/vnd.pypi.simple.v1+json application/vnd.pypi.simple.v1+html"  # and text/html, always
_NPM_LINKS = ('"tarball":"{}', '"tarball": "{}')
_NPM_TYPES = "application/json application/vnd.npm.install-v1+json"
_CARGO_LINKS = ('"dl":"{}', '"dl": "{}')


def configuration(
    upstreams: Upstreams, *, bind: str, port: int, folder: Path, cache: Path, size: int, bundle: Path, user: str = ""
) -> str:
    """nginx.conf for a front on bind:port. `size` bounds the cache, B; `user` is the user that workers run as, for root
    only.

    In `folder` go pid, log (access.log), socket and temporary files; a file named `offline` there cuts the upstreams.
    """
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n  ".join(f"{kind}_temp_path {quote(folder / 'temp' / kind)};" for kind in kinds)
    pypi, npm, cargo = (urlsplit(PUBLIC[name]).netloc for name in ("pip", "npm", "cargo"))
    here = "http://$http_host"
    pip_filters = _filters(here, _PIP_LINKS, _PIP_TYPES)
    pip_rooted = (quote_text('href="/'), quote_text(f'href="{here}/-/{_pathed(_root(upstreams.pip))}/'))
    return f"""\
{f"user {user};" if user else ""}
daemon off;
worker_processes 2;
worker_rlimit_nofile 8192;
pid {quote(folder / "nginx.pid")};
error_log {quote(folder / "error.log")} warn;
events {{ worker_connections 2048; }}
http {{
  {temporary}
  log_format depot "$upstream_cache_status\\t$status\\t$body_bytes_sent\\t$target";
  access_log {quote(folder / "access.log")} depot;
  default_type application/octet-stream;
  map_hash_bucket_size 256;
  server_names_hash_bucket_size 256;
  keepalive_timeout 300s;
  keepalive_requests 100000;
  large_client_header_buffers 8 32k;
  client_max_body_size 1m;

  # What a request is for, as the address it has on the host's own upstream.
  map "$host$request_uri" $target {{
    {_lines(targets(upstreams, bind), 4)}
  }}
  # Names may be any: files lie on hosts that only an index knows. Addresses may not, nor this machine itself, but
  # where the host's settings say so: a build must not get at services that only this machine should reach.
  map $target $forbidden {{
    {_guarded(upstreams)}
  }}
  map $redirect $forbidden_redirect {{
    volatile;
    {_guarded(upstreams)}
  }}
  # One address has several forms in these: an index page as HTML or JSON, a package's metadata in short or in full.
  map $server_name $form {{ default ""; {pypi} $http_accept; {npm} $http_accept; {bind} $http_accept; }}

  proxy_cache_path {quote(cache)} levels=1:2 keys_zone=depot:32m inactive=3650d max_size={size} use_temp_path=off;
  proxy_cache_key "$target $form";
  proxy_cache_valid 200 {FRESH}s;
  proxy_cache_valid 404 410 {MISSING}s;
  proxy_cache_lock on;
  proxy_cache_lock_age 600s;
  proxy_cache_lock_timeout 600s;
  proxy_cache_use_stale error timeout invalid_header http_403 http_429 http_500 http_502 http_503 http_504;
  proxy_http_version 1.1;
  proxy_buffer_size 32k;
  proxy_buffers 16 32k;
  sub_filter_once off;

  upstream back {{ server {quote_text(f"unix:{folder / 'back.sock'}")}; keepalive 32; }}

  {_front(bind, port, bind, pip_filters)}
  {_front(bind, port, pypi, _indented(f"sub_filter {pip_rooted[0]} {pip_rooted[1]};", pip_filters))}
  {_front(bind, port, npm, _filters(here, _NPM_LINKS, _NPM_TYPES))}
  {_front(bind, port, cargo, "", _location("= /config.json", _filters(here, _CARGO_LINKS, "*")))}
  {_front(bind, port, "_", "", default=True)}

  map $to $authorization {{
    volatile;
    {_lines(_authorizations(upstreams), 4)}
    default "";
  }}
  map $upstream_http_location $redirect {{
    volatile;
    "~^/" $scheme_of_to://$host_of_to$upstream_http_location;
    default $upstream_http_location;
  }}
  map $to $scheme_of_to {{ volatile; "~^(?<scheme_>https?)://" $scheme_; }}
  map $to $host_of_to {{ volatile; "~^https?://(?<host_>[^/]+)" $host_; }}
  map $http_x_depot_target $lifetime {{
    {_lines(((f'"~{pattern}"', str(FOREVER)) for pattern in _FOREVER), 4)}
    default {FRESH};
  }}
  server {{
    listen {quote_text(f"unix:{folder / 'back.sock'}")};
    access_log off;
    resolver {" ".join(upstreams.nameservers)};
    resolver_timeout 5s;
    proxy_cache off;
    proxy_buffering off;
    proxy_connect_timeout 15s;
    proxy_read_timeout 120s;
    proxy_ssl_server_name on;
    proxy_ssl_verify on;
    proxy_ssl_verify_depth 8;
    proxy_ssl_trusted_certificate {quote(bundle)};
    proxy_ignore_headers X-Accel-Expires X-Accel-Redirect X-Accel-Buffering X-Accel-Charset X-Accel-Limit-Rate;
    proxy_set_header Host $proxy_host;
    proxy_set_header Connection "";
    proxy_set_header X-Depot-Target "";
    proxy_set_header Authorization $authorization;
    proxy_redirect off;
    proxy_intercept_errors on;
    recursive_error_pages on;
    error_page 301 302 303 307 308 = @redirected;
    add_header X-Accel-Expires $lifetime;
    if (-f {quote(folder / "offline")}) {{ return 502; }}
    location / {{
      set $to $http_x_depot_target;
      proxy_pass $to;
    }}
    location @redirected {{
      if ($forbidden_redirect) {{ return 403; }}
      set $to $redirect;
      proxy_pass $to;
    }}
  }}
}}
"""


def targets(upstreams: Upstreams, bind: str) -> Iterable[tuple[str, str]]:
    """Patterns over "<host><path>", each with the upstream address that it stands for, first match first."""
    yield r'"~^[^/]+/-/(?<scheme_in>https?)/(?<rest>[^/].*)$"', "$scheme_in://$rest"
    yield f'"~^{re.escape(bind)}/"', '""'
    pypi, simple = urlsplit(PUBLIC["pip"]).netloc, urlsplit(PUBLIC["pip"]).path
    yield f'"~^{re.escape(pypi + simple)}/(?<rest>.*)$"', _to(upstreams.pip)
    # The relative links of an index may lead out of its folder: ../../packages/… of https://host/path/simple/name/.
    yield f'"~^{re.escape(pypi)}/(?<rest>.*)$"', _to(_parent(upstreams.pip))
    for name in ("npm", "maven", "cargo"):
        public = urlsplit(PUBLIC[name])
        yield f'"~^{re.escape(public.netloc + public.path)}/(?<rest>.*)$"', _to(getattr(upstreams, name))
    for archive, url in upstreams.apt.items():
        yield rf'"~^([^/]+\.)?{re.escape(ARCHIVES[archive])}/{re.escape(archive)}/(?<rest>.*)$"', _to(url)
    yield "default", "http://$http_host$request_uri"  # another apt repository that a build names


def quote(path: Path) -> str:
    return quote_text(str(path))


def quote_text(text: str) -> str:
    """A string of nginx's configuration. `$` begins a variable and has no escape."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _to(url: str) -> str:
    return quote_text(without_credentials(url).replace("$", "%24") + "/$rest")


def _root(url: str) -> str:
    parts = urlsplit(without_credentials(url))
    return f"{parts.scheme}://{parts.netloc}"


def _parent(url: str) -> str:
    parts = urlsplit(without_credentials(url))
    return f"{parts.scheme}://{parts.netloc}{parts.path.rpartition('/')[0]}"


def _pathed(url: str) -> str:
    """https://host as https/host."""
    return url.replace("://", "/", 1)


def _filters(here: str, links: Iterable[str], types: str) -> str:
    lines = [f"sub_filter_types {types};"]
    for link in links:
        for scheme in ("https", "http"):
            found, put = link.format(f"{scheme}://"), link.format(f"{here}/-/{scheme}/")
            lines.append(f"sub_filter {quote_text(found)} {quote_text(put)};")
    return _indented(*lines)


def _location(match: str, more: str = "") -> str:
    return f"""location {match} {{
      if ($forbidden) {{ return 403; }}
      limit_except GET {{ deny all; }}
      {more}
      proxy_cache depot;
      proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;
      proxy_set_header Accept-Encoding "";
      proxy_set_header Connection "";
      proxy_set_header Proxy-Connection "";
      proxy_set_header Authorization "";
      proxy_set_header X-Depot-Target $target;
      proxy_pass http://back;
    }}"""


def _front(bind: str, port: int, name: str, filters: str, *locations: str, default: bool = False) -> str:
    return f"""server {{
    listen {bind}:{port}{" default_server" if default else ""};
    server_name {name};
    {_indented(*locations, _location("/", filters))}
  }}"""


def _guarded(upstreams: Upstreams) -> str:
    """Lines of a map from an address to whether a request for it is forbidden."""
    allowed = sorted({_root(url) for url in upstreams.addresses()})
    lines = [(f'"~^{re.escape(url)}/"', "0") for url in allowed]
    return _lines(
        [*lines, (r'"~*^https?://(\[|(localhost\.?|[0-9.]+)([:/]|$))"', "1"), ('""', "1"), ("default", "0")], 4
    )


def _authorizations(upstreams: Upstreams) -> Iterable[tuple[str, str]]:
    """User and password of an upstream's address, for everything below it (for an index, beside it)."""
    for url in upstreams.addresses():
        parts = urlsplit(url)
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            below = _parent(url) if url == upstreams.pip else without_credentials(url)
            yield f'"~^{re.escape(below)}/"', f'"Basic {base64.b64encode(pair.encode()).decode()}"'


def _lines(pairs: Iterable[tuple[str, str]] | Mapping[str, str], indent: int) -> str:
    pairs = pairs.items() if isinstance(pairs, Mapping) else pairs
    return f"\n{' ' * indent}".join(f"{key} {value};" for key, value in pairs)


def _indented(*pieces: str) -> str:
    return "\n      ".join(piece for piece in pieces if piece)
