//! WebSockets (RFC 6455): opened for whoever is let in, ended with their session.

use axum::extract::FromRequestParts;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::api::refuse;
use super::guard::Admitted;

/// A request to open one.
pub(super) struct Socket {
    upgrade: WebSocketUpgrade,
    admitted: Admitted,
}

impl<S: Send + Sync> FromRequestParts<S> for Socket {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Socket, Response> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        match (upgrade, parts.extensions.remove::<Admitted>()) {
            (Ok(upgrade), Some(admitted)) => Ok(Socket { upgrade, admitted }),
            _ => {
                let sentence = "this path is a WebSocket; open it with a client of WebSockets";
                let mut response = refuse(StatusCode::UPGRADE_REQUIRED, sentence);
                let protocol = HeaderValue::from_static("websocket");
                response.headers_mut().insert(header::UPGRADE, protocol);
                Err(response)
            }
        }
    }
}

impl Socket {
    /// Opens it and does the work with it; the client sends `longest` bytes at a time at most.
    pub(super) fn open<W>(
        self,
        longest: usize,
        work: impl FnOnce(WebSocket) -> W + Send + 'static,
    ) -> Response
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let Socket { upgrade, admitted } = self;
        upgrade
            .max_message_size(longest)
            .on_upgrade(move |socket| admitted.during(work(socket)))
    }
}
