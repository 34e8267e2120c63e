//! The port on which Prometheus reads what scripts keep.
//!
//! In: a function that gives the text. Out: `GET /metrics` beside the dashboard, without its token:
//! whoever scrapes has none. Never: a run that fails because the port is taken.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use tokio::runtime::Handle;

use super::super::config::Config;
use super::super::exit::Failure;
use crate::capture::own::OwnSockets;
use crate::packet::Endpoint;

/// Content type of the text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves `metrics` on `tap.metrics.port` of the dashboard's address as long as the runtime lives;
/// port 0 switches it off.
pub(super) fn serve(
    config: &Config,
    metrics: impl Fn() -> String + Send + Sync + 'static,
    own: &OwnSockets,
    runtime: &Handle,
) -> Result<(), Failure> {
    let port = u16::try_from(config.int("tap.metrics.port"))
        .map_err(|_| Failure::usage("tap.metrics.port must be a port, 0 to 65535"))?;
    if port == 0 {
        return Ok(());
    }
    let host = super::server_options(config)?.host;
    let _entered = runtime.enter();
    let bound = std::net::TcpListener::bind((host, port)).and_then(|listener| {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    });
    let listener = match bound {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, port, "the metrics of scripts are not served");
            return Ok(());
        }
    };
    own.listen(Endpoint { ip: host, port });
    let metrics = Arc::new(metrics);
    let answer = move || async move { ([(header::CONTENT_TYPE, TEXT)], metrics()) };
    let app = Router::new().route("/metrics", get(answer));
    runtime.spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::warn!(%error, "the metrics of scripts are no longer served");
        }
    });
    Ok(())
}
