//! The pages, out of the binary.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "web/"]
#[exclude = "test/*"]
struct Web;

/// What the page that asks for a token consists of, for everybody to see.
pub(super) const PUBLIC: [&str; 4] = [
    "/signin.js",
    "/icon.svg",
    "/style/base.css",
    "/style/signin.css",
];

/// The page that asks for a token.
pub(super) fn sign_in_page() -> Response {
    file("signin.html")
}

/// The page that leads on after a login.
pub(super) fn signed_in_page() -> Response {
    file("signed-in.html")
}

/// Serves a file of `web/`; `/` is `index.html`.
pub(super) async fn serve(uri: Uri) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    file(path)
}

fn file(path: &str) -> Response {
    match Web::get(path) {
        Some(file) => {
            let mime = file.metadata.mimetype().to_owned();
            let mime = if mime.starts_with("text/") {
                format!("{mime}; charset=utf-8")
            } else {
                mime
            };
            ([(header::CONTENT_TYPE, mime)], file.data.into_owned()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "there is no such page").into_response(),
    }
}
