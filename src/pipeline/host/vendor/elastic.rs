//! Elasticsearch: one document a call.
//!
//! In: a document and the ways to sign in. Out: `PUT <index>/_doc/<id>?refresh=true` under a random
//! id. Never: an id that the script did not get back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::super::web::Request;
use super::{Vendors, encoded, random_uuid, refusal, send_patiently};
use crate::script::host::ElasticLogin;

impl Vendors {
    /// Indexes a document; answers its id.
    pub(crate) fn elastic(
        &self,
        url: &str,
        index: &str,
        document: &Json,
        login: &ElasticLogin,
    ) -> Result<String, String> {
        let base = match &login.cloud_id {
            Some(id) => cloud_url(id).ok_or("the cloud id of Elasticsearch cannot be read")?,
            None if url.is_empty() => {
                return Err("vendor.elastic needs an address or a cloud id".to_owned());
            }
            None => url.trim_end_matches('/').to_owned(),
        };
        let id = random_uuid()?;
        let place = format!("{base}/{}/_doc/{id}?refresh=true", encoded(index));
        let mut request = Request::new("PUT", place).body("application/json", document.to_string());
        if let Some(authorization) = authorization(login) {
            request = request.header("Authorization", authorization);
        }
        let answer = match &login.certificate_fingerprint {
            Some(fingerprint) => send_patiently(&self.web.trusting(fingerprint)?, &request)?,
            None => send_patiently(&self.web, &request)?,
        };
        if !answer.status.is_success() {
            return Err(refusal("Elasticsearch", &answer));
        }
        Ok(id)
    }
}

/// The server of a cloud id: `name:` and base64 of `host$es-uuid$kibana-uuid`.
fn cloud_url(id: &str) -> Option<String> {
    let (_, coded) = id.rsplit_once(':')?;
    let text = String::from_utf8(STANDARD.decode(coded.trim()).ok()?).ok()?;
    let mut parts = text.split('$');
    let (host, es) = (parts.next()?, parts.next()?);
    if host.is_empty() || es.is_empty() {
        return None;
    }
    Some(format!("https://{es}.{host}"))
}

/// The best of the given ways: an API key goes before a service token, that before a password.
fn authorization(login: &ElasticLogin) -> Option<String> {
    if let Some(key) = &login.api_key {
        // The console of Elastic shows it encoded; `id:key` is what was encoded.
        let coded = if key.contains(':') {
            STANDARD.encode(key)
        } else {
            key.clone()
        };
        return Some(format!("ApiKey {coded}"));
    }
    if let Some(token) = &login.service_token {
        return Some(format!("Bearer {token}"));
    }
    let user = login.username.as_ref()?;
    let password = login.password.as_deref().unwrap_or_default();
    Some(format!(
        "Basic {}",
        STANDARD.encode(format!("{user}:{password}"))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_id_names_the_server() {
        let coded = STANDARD.encode("eu.cloud.example:443$abc$def");
        let url = cloud_url(&format!("my-name:{coded}"));
        assert_eq!(url.as_deref(), Some("https://abc.eu.cloud.example:443"));
        for bad in ["", "name", "name:!!", "name:YQ=="] {
            assert_eq!(cloud_url(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_best_way_to_sign_in_is_taken() {
        let mut login = ElasticLogin {
            username: Some("u".into()),
            password: Some("p".into()),
            ..ElasticLogin::default()
        };
        assert_eq!(authorization(&login).as_deref(), Some("Basic dTpw"));
        login.service_token = Some("t".into());
        assert_eq!(authorization(&login).as_deref(), Some("Bearer t"));
        login.api_key = Some("a:b".into());
        assert_eq!(authorization(&login).as_deref(), Some("ApiKey YTpi"));
        login.api_key = Some("YTpi".into());
        assert_eq!(authorization(&login).as_deref(), Some("ApiKey YTpi"));
        assert_eq!(authorization(&ElasticLogin::default()), None);
    }
}
