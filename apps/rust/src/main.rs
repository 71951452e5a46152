//! The sample service of apps/README.md on axum.

use std::env;
use std::error::Error;
use std::time::Duration;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const REVISION: &str = "0";
const MAX_BELOW: u32 = 10_000_000;

#[derive(Serialize)]
struct Failure {
    error: String,
}

#[derive(Serialize)]
struct Root {
    name: &'static str,
    runtime: &'static str,
    revision: &'static str,
}

#[derive(Deserialize)]
struct PrimesQuery {
    below: u32,
}

#[derive(Serialize)]
struct Primes {
    below: u32,
    count: u32,
    checksum: u32,
}

#[derive(Deserialize)]
struct ClockQuery {
    zone: String,
    at: i64,
}

#[derive(Serialize)]
struct Clock {
    zone: String,
    local: String,
}

fn bad_request(reason: impl ToString) -> Response {
    let failure = Failure {
        error: reason.to_string(),
    };
    (StatusCode::BAD_REQUEST, Json(failure)).into_response()
}

/// Counts the primes below n with a sieve of Eratosthenes and folds them into a checksum of 32 bits.
fn primes(n: u32) -> Primes {
    let mut composite = vec![false; n as usize];
    let (mut count, mut checksum) = (0, 0u32);
    for i in 2..n as usize {
        if composite[i] {
            continue;
        }
        count += 1;
        checksum = checksum.wrapping_mul(31).wrapping_add(i as u32);
        for multiple in (i * i..n as usize).step_by(i) {
            composite[multiple] = true;
        }
    }
    Primes {
        below: n,
        count,
        checksum,
    }
}

async fn get_health() -> &'static str {
    "ok"
}

async fn get_root() -> Json<Root> {
    let runtime = concat!("Rust, service ", env!("CARGO_PKG_VERSION"));
    Json(Root {
        name: "rust",
        runtime,
        revision: REVISION,
    })
}

async fn get_primes(query: Result<Query<PrimesQuery>, QueryRejection>) -> Response {
    match query {
        Ok(Query(PrimesQuery { below })) if below <= MAX_BELOW => {
            Json(primes(below)).into_response()
        }
        Ok(_) => bad_request(format!(
            "below must be a whole number from 0 to {MAX_BELOW}"
        )),
        Err(rejection) => bad_request(rejection),
    }
}

async fn get_clock(query: Result<Query<ClockQuery>, QueryRejection>) -> Response {
    let Query(ClockQuery { zone, at }) = match query {
        Ok(query) => query,
        Err(rejection) => return bad_request(rejection),
    };
    match Timestamp::from_second(at).and_then(|at| at.in_tz(&zone)) {
        Ok(local) => Json(Clock {
            local: local.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            zone,
        })
        .into_response(),
        Err(error) => bad_request(error),
    }
}

/// CLOCK_MONOTONIC in nanoseconds, which container and host share; `Instant` does not tell its value.
fn monotonic() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = env::var("PORT").unwrap_or("8080".into()).parse()?;
    let app = Router::new()
        .route("/health", get(get_health))
        .route("/", get(get_root))
        .route("/primes", get(get_primes))
        .route("/clock", get(get_clock));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    println!("listening port={port} monotonic_ns={}", monotonic());

    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Requests that are under way get this long.
        tokio::spawn(async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            std::process::exit(0);
        });
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
