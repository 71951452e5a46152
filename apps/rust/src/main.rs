//! The sample service of apps/README.md on hyper.

use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tz::{DateTime, TimeZone};

const REVISION: &str = "0";
const MAX_BELOW: usize = 10_000_000;

type Answer = Response<Full<Bytes>>;

fn answer(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let value = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}

fn json(body: String) -> Answer {
    answer(StatusCode::OK, "application/json", body)
}

fn bad_request(reason: &str) -> Answer {
    let body = format!(r#"{{"error": "{reason}"}}"#);
    answer(StatusCode::BAD_REQUEST, "application/json", body)
}

/// Counts the primes below n with a sieve of Eratosthenes and folds them into a checksum of 32 bits.
fn primes(n: usize) -> (u32, u32) {
    let mut composite = vec![false; n];
    let (mut count, mut checksum) = (0, 0u32);
    for i in 2..n {
        if composite[i] {
            continue;
        }
        count += 1;
        checksum = checksum.wrapping_mul(31).wrapping_add(i as u32);
        for multiple in (i * i..n).step_by(i) {
            composite[multiple] = true;
        }
    }
    (count, checksum)
}

/// The query's first value of that name. Names and values of this service need no percent-encoding but for the slash.
fn parameter(request: &Request<Incoming>, name: &str) -> Option<String> {
    let pairs = request.uri().query()?.split('&');
    let mut found = pairs.filter_map(|pair| pair.split_once('='));
    let (_, value) = found.find(|(key, _)| *key == name)?;
    Some(value.replace("%2F", "/").replace("%2f", "/"))
}

fn get_primes(request: &Request<Incoming>) -> Answer {
    let below = parameter(request, "below").and_then(|text| text.parse().ok());
    match below {
        Some(below) if below <= MAX_BELOW => {
            let (count, checksum) = primes(below);
            json(format!(
                r#"{{"below": {below}, "count": {count}, "checksum": {checksum}}}"#
            ))
        }
        _ => bad_request(&format!(
            "below must be a whole number from 0 to {MAX_BELOW}"
        )),
    }
}

/// The local time in a zone of /usr/share/zoneinfo; None where there is no such zone or time.
fn local_time(zone: &str, at: i64) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+-/".contains(c);
    if zone.is_empty() || !zone.chars().all(plain) {
        return None;
    }
    let zone = TimeZone::from_posix_tz(zone).ok()?;
    let t = DateTime::from_timespec(at, 0, zone.as_ref()).ok()?;
    Some(format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        t.year(),
        t.month(),
        t.month_day(),
        t.hour(),
        t.minute(),
        t.second()
    ))
}

fn get_clock(request: &Request<Incoming>) -> Answer {
    let zone = parameter(request, "zone").unwrap_or_default();
    let at = parameter(request, "at").and_then(|text| text.parse().ok());
    match at.and_then(|at| local_time(&zone, at)) {
        Some(local) => json(format!(r#"{{"zone": "{zone}", "local": "{local}"}}"#)),
        None => bad_request("zone must be a time zone and at Unix seconds"),
    }
}

async fn route(request: Request<Incoming>) -> Result<Answer, Infallible> {
    let plain = "text/plain";
    if request.method() != Method::GET {
        let body = "method not allowed".into();
        return Ok(answer(StatusCode::METHOD_NOT_ALLOWED, plain, body));
    }
    Ok(match request.uri().path() {
        "/health" => answer(StatusCode::OK, plain, "ok".into()),
        "/" => json(format!(
            r#"{{"name": "rust", "runtime": "Rust, hyper 1", "revision": "{REVISION}"}}"#
        )),
        "/primes" => get_primes(&request),
        "/clock" => get_clock(&request),
        _ => answer(StatusCode::NOT_FOUND, plain, "not found".into()),
    })
}

/// CLOCK_MONOTONIC in nanoseconds, which container and host share; `Instant` does not tell its value.
fn monotonic() -> i64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists on every Linux, and `now` is ours to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let port: u16 = env::var("PORT").unwrap_or("8080".into()).parse()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    println!("listening port={port} monotonic_ns={}", monotonic());

    let connections = GracefulShutdown::new();
    loop {
        let next = poll_fn(|context| {
            if terminate.poll_recv(context).is_ready() || interrupt.poll_recv(context).is_ready() {
                return Poll::Ready(None);
            }
            listener.poll_accept(context).map(Some)
        });
        match next.await {
            None => break,
            Some(Err(_)) => continue, // the client has gone already
            Some(Ok((stream, _))) => {
                let service = service_fn(route);
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                let connection = connections.watch(connection);
                tokio::spawn(async move {
                    let _ = connection.await; // a client that hangs up is no failure of ours
                });
            }
        }
    }
    drop(listener);
    // Requests that are under way get this long.
    let _ = tokio::time::timeout(Duration::from_secs(5), connections.shutdown()).await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve())
}
