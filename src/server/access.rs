//! Who asks, and what they may do.
//!
//! In: the tokens of the configuration. Out: for a token, its name and role. Roles contain one
//! another: who may operate may investigate, who may investigate may view. Never: a token in a log.
//!
//! `view` sees lists, counts and states; filters may name any field, so it is no border against
//! somebody who guesses payloads by asking. `investigate` sees payloads, packets and the console of
//! scripts. `operate` changes recordings and scripts.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json as AsJson;
use axum::extract::{ConnectInfo, Extension, Request, State as Extract};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

use super::api::{Ask, Asked, State, aside, refuse};
use super::audit::{Audit, Entry};
use super::guard::Token;
use crate::time::{Clock, SystemClock};

/// Entries of the audit log of one answer, unless asked otherwise, and at most.
const ENTRIES: usize = 200;
const MAX_ENTRIES: usize = 5000;

/// Shortest token that a configuration may give.
const MIN_TOKEN: usize = 16;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Lists, counts and states.
    View,
    /// Payloads, packets and the console of scripts as well.
    Investigate,
    /// Everything: recordings, scripts, the audit log.
    Operate,
}

impl Role {
    /// All, the least first.
    pub const ALL: [Role; 3] = [Role::View, Role::Investigate, Role::Operate];

    /// As configurations and answers call it.
    pub fn name(self) -> &'static str {
        match self {
            Role::View => "view",
            Role::Investigate => "investigate",
            Role::Operate => "operate",
        }
    }

    /// The role of a name, letter case aside.
    pub fn named(name: &str) -> Option<Role> {
        Role::ALL
            .into_iter()
            .find(|role| role.name().eq_ignore_ascii_case(name))
    }
}

/// A token with what it lets its bearer do.
#[derive(Debug, Clone)]
pub struct Grant {
    /// What the audit log calls the bearer.
    pub name: String,
    /// What the bearer may do.
    pub role: Role,
    /// The token.
    pub token: Token,
}

/// Somebody who was let in.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) name: String,
    pub(super) role: Role,
}

/// The tokens of `tap.dashboard.tokens`: one a role, or a list of them.
///
/// ```text
/// {"view": "...", "operate": ["...", "..."]}
/// ```
///
/// # Errors
/// One sentence, when a role is not known or a token is too short or given twice.
pub fn grants(tokens: &serde_json::Map<String, Json>) -> Result<Vec<Grant>, String> {
    let mut grants: Vec<Grant> = Vec::new();
    for (name, value) in tokens {
        let role = Role::named(name).ok_or_else(|| {
            let known = Role::ALL.map(Role::name).join(", ");
            format!("tap.dashboard.tokens.{name} is no role; there are {known}")
        })?;
        let texts: Vec<&Json> = match value {
            Json::Array(list) => list.iter().collect(),
            one => vec![one],
        };
        for (index, text) in texts.iter().enumerate() {
            let text = text.as_str().filter(|text| {
                // What stands in cookies and URLs as it is.
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
                text.len() >= MIN_TOKEN && text.bytes().all(fits)
            });
            let Some(text) = text else {
                return Err(format!(
                    "tap.dashboard.tokens.{name} must be a token of at least {MIN_TOKEN} letters, digits, - and _, or a list of such; make one with: openssl rand -hex 24"
                ));
            };
            if grants.iter().any(|grant| grant.token.is(text)) {
                return Err(format!(
                    "tap.dashboard.tokens.{name} has a token that is given before; each must be its own"
                ));
            }
            let name = match texts.len() {
                1 => role.name().to_owned(),
                _ => format!("{} {}", role.name(), index + 1),
            };
            grants.push(Grant {
                name,
                role,
                token: Token::of(text),
            });
        }
    }
    Ok(grants)
}

/// Lets a request through when its visitor may; notes it when it is to be audited. What cannot be
/// noted is not answered.
pub(super) async fn admit(needed: Role, audited: bool, request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let (Some(visitor), Some(audit)) = (
        extensions.get::<Visitor>().cloned(),
        extensions.get::<Arc<Audit>>().cloned(),
    ) else {
        return refuse(StatusCode::UNAUTHORIZED, "say who you are first");
    };
    let entry = audited.then(|| Entry {
        at: SystemClock.now().to_string(),
        who: visitor.name.clone(),
        role: visitor.role.name(),
        from: extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|from| from.0.to_string())
            .unwrap_or_default(),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        status: 0,
    });
    let response = match visitor.role < needed {
        true => refuse(
            StatusCode::FORBIDDEN,
            format!(
                "this needs the role {}, and yours is {}; ask whoever runs tapedeck for another token",
                needed.name(),
                visitor.role.name()
            ),
        ),
        false => next.run(request).await,
    };
    let Some(mut entry) = entry else {
        return response;
    };
    entry.status = response.status().as_u16();
    match aside(move || audit.write(entry)).await {
        Ok(Ok(())) => response,
        Ok(Err(error)) => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "the audit log cannot be written ({error}), so nothing that it must hold is shown"
            ),
        ),
        Err(refused) => refused,
    }
}

/// Who asks, and what pages may do here.
pub(super) async fn session(
    Extract(state): Extract<State>,
    Extension(visitor): Extension<Visitor>,
) -> AsJson<Json> {
    AsJson(json!({
        "who": visitor.name,
        "role": visitor.role.name(),
        "may": {
            "investigate": visitor.role >= Role::Investigate,
            "operate": visitor.role >= Role::Operate,
            "replay": state.view.replay && visitor.role >= Role::Operate,
            "editScripts": state.view.scripts.editable && visitor.role >= Role::Operate,
        },
    }))
}

/// The newest entries of the audit log.
pub(super) async fn audit(
    Extension(audit): Extension<Arc<Audit>>,
    Asked(ask): Asked<Ask>,
) -> Response {
    let limit = ask.limit.unwrap_or(ENTRIES).clamp(1, MAX_ENTRIES);
    match aside(move || audit.newest(limit)).await {
        Ok(Ok(entries)) => AsJson(entries).into_response(),
        Ok(Err(error)) => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the audit log cannot be read: {error}"),
        ),
        Err(refused) => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tokens: Json) -> Result<Vec<Grant>, String> {
        grants(tokens.as_object().unwrap())
    }

    #[test]
    fn roles_contain_one_another() {
        assert!(Role::View < Role::Investigate && Role::Investigate < Role::Operate);
        assert_eq!(Role::named("Operate"), Some(Role::Operate));
        assert_eq!(Role::named("root"), None);
    }

    #[test]
    fn a_role_has_one_token_or_several() {
        let grants = read(json!({
            "view": "0123456789abcdef", "operate": ["1123456789abcdef", "2123456789abcdef"],
        }))
        .unwrap();
        let told: Vec<(&str, Role)> = grants
            .iter()
            .map(|grant| (grant.name.as_str(), grant.role))
            .collect();
        assert_eq!(
            told,
            [
                ("view", Role::View),
                ("operate 1", Role::Operate),
                ("operate 2", Role::Operate)
            ]
        );
        assert!(grants[2].token.is("2123456789abcdef"));
    }

    #[test]
    fn what_is_wrong_with_tokens_is_said() {
        for (tokens, part) in [
            (json!({"root": "0123456789abcdef"}), "is no role"),
            (json!({"view": "short"}), "at least 16"),
            (json!({"view": 7}), "at least 16"),
            (json!({"view": "0123456789abcde "}), "at least 16"),
            (
                json!({"view": "0123456789abcdef", "operate": "0123456789abcdef"}),
                "given before",
            ),
        ] {
            let error = read(tokens).unwrap_err();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("0123456789abcdef"), "{error}");
        }
    }
}
