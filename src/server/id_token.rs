//! ID tokens (OpenID Connect Core 1.0, section 3.1.3.7), verified.
//!
//! In: a token, the keys of its issuer, what was asked for. Out: its claims. Never: a token without a
//! signature by one of those keys (RS256 or ES256), for another client, too old, or of another login.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value as Json;

/// Longest token that is read.
const MAX_TOKEN: usize = 64 << 10;

/// Seconds by which two clocks may differ.
const SKEW: i64 = 60;

/// A key of an issuer (RFC 7517).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    n: String,
    e: String,
    crv: String,
    x: String,
    y: String,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

/// What a token must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    pub(super) nonce: &'a str,
    /// Unix seconds.
    pub(super) now: i64,
}

/// The claims of a token that is all that it must be.
///
/// # Errors
/// One sentence: what is wrong with it.
pub(super) fn verify(token: &str, keys: &[Jwk], wanted: Wanted<'_>) -> Result<Json, String> {
    if token.len() > MAX_TOKEN {
        return Err("the ID token is too long".to_owned());
    }
    let mut parts = token.split('.');
    let (Some(head), Some(body), Some(mark), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("the ID token has not three parts".to_owned());
    };
    let bytes = |part: &str| {
        URL_SAFE_NO_PAD
            .decode(part)
            .map_err(|_| "the ID token is no base64url".to_owned())
    };
    let header: Header = serde_json::from_slice(&bytes(head)?)
        .map_err(|_| "the head of the ID token cannot be read".to_owned())?;
    let signed = format!("{head}.{body}");
    let mark = bytes(mark)?;
    let fits = |key: &&Jwk| {
        key.purpose
            .as_deref()
            .is_none_or(|purpose| purpose == "sig")
            && (header.kid.is_none() || key.kid == header.kid)
    };
    let good = keys
        .iter()
        .filter(fits)
        .any(|key| key.vouches(&header.alg, signed.as_bytes(), &mark));
    if !good {
        return Err(format!(
            "no key of the issuer vouches for the ID token (its algorithm is {}; RS256 and ES256 are read)",
            header.alg.chars().take(20).collect::<String>()
        ));
    }
    let claims: Json = serde_json::from_slice(&bytes(body)?)
        .map_err(|_| "the claims of the ID token cannot be read".to_owned())?;
    check(&claims, wanted)?;
    Ok(claims)
}

fn check(claims: &Json, wanted: Wanted<'_>) -> Result<(), String> {
    if claims["iss"] != wanted.issuer {
        return Err("the ID token is of another issuer".to_owned());
    }
    let audience: Vec<&str> = match &claims["aud"] {
        Json::Array(list) => list.iter().filter_map(Json::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let for_us = audience.contains(&wanted.client)
        && (audience.len() == 1 || claims["azp"] == wanted.client);
    if !for_us {
        return Err("the ID token is for another client".to_owned());
    }
    let second = |name: &str| claims[name].as_f64().map(|second| second as i64);
    if second("exp").is_none_or(|end| end + SKEW < wanted.now) {
        return Err("the ID token has expired; compare the clocks".to_owned());
    }
    if second("nbf").is_some_and(|start| start - SKEW > wanted.now) {
        return Err("the ID token is not valid yet; compare the clocks".to_owned());
    }
    if claims["nonce"] != wanted.nonce {
        return Err("the ID token is of another login".to_owned());
    }
    Ok(())
}

impl Jwk {
    fn vouches(&self, algorithm: &str, signed: &[u8], mark: &[u8]) -> bool {
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        match (algorithm, self.kty.as_str()) {
            ("RS256", "RSA") => {
                let (n, e) = (part(&self.n), part(&self.e));
                signature::RsaPublicKeyComponents { n: &n, e: &e }
                    .verify(&signature::RSA_PKCS1_2048_8192_SHA256, signed, mark)
                    .is_ok()
            }
            ("ES256", "EC") if self.crv == "P-256" => {
                let point = [vec![4], part(&self.x), part(&self.y)].concat();
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(signed, mark)
                    .is_ok()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::json;

    const NOW: i64 = 1_700_000_000;

    struct Issuer {
        pair: EcdsaKeyPair,
        keys: Vec<Jwk>,
    }

    impl Issuer {
        fn new() -> Issuer {
            let random = SystemRandom::new();
            let made =
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            let pair =
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random)
                    .unwrap();
            let point = pair.public_key().as_ref();
            let key = json!({
                "kty": "EC", "crv": "P-256", "kid": "one", "use": "sig",
                "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
            });
            Issuer {
                keys: vec![serde_json::from_value(key).unwrap()],
                pair,
            }
        }

        fn token(&self, head: Json, claims: &Json) -> String {
            let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
            let signed = format!("{}.{}", part(&head), part(claims));
            let mark = self
                .pair
                .sign(&SystemRandom::new(), signed.as_bytes())
                .unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mark.as_ref()))
        }
    }

    fn claims() -> Json {
        json!({"iss": "https://id.test", "aud": "deck", "exp": NOW + 60, "nonce": "n", "sub": "ann"})
    }

    fn wanted() -> Wanted<'static> {
        Wanted {
            issuer: "https://id.test",
            client: "deck",
            nonce: "n",
            now: NOW,
        }
    }

    #[test]
    fn a_good_token_gives_its_claims() {
        let issuer = Issuer::new();
        let token = issuer.token(json!({"alg": "ES256", "kid": "one"}), &claims());
        assert_eq!(
            verify(&token, &issuer.keys, wanted()).unwrap()["sub"],
            "ann"
        );
        let token = issuer.token(json!({"alg": "ES256"}), &claims());
        assert!(verify(&token, &issuer.keys, wanted()).is_ok());
    }

    #[test]
    fn whatever_is_wrong_with_a_token_refuses_it() {
        let issuer = Issuer::new();
        let head = json!({"alg": "ES256", "kid": "one"});
        let with = |name: &str, value: Json| {
            let mut claims = claims();
            claims[name] = value;
            verify(&issuer.token(head.clone(), &claims), &issuer.keys, wanted()).unwrap_err()
        };
        assert!(with("iss", json!("https://other.test")).contains("another issuer"));
        assert!(with("aud", json!("other")).contains("another client"));
        assert!(with("aud", json!(["deck", "other"])).contains("another client"));
        assert!(with("exp", json!(NOW - 600)).contains("expired"));
        assert!(with("exp", Json::Null).contains("expired"));
        assert!(with("nbf", json!(NOW + 600)).contains("not valid yet"));
        assert!(with("nonce", json!("m")).contains("another login"));

        let token = issuer.token(head.clone(), &claims());
        let (front, mark) = token.rsplit_once('.').unwrap();
        let (first, _) = front.split_once('.').unwrap();
        let other = URL_SAFE_NO_PAD.encode(json!({"sub": "eve"}).to_string());
        for forged in [
            format!("{first}.{other}.{mark}"),
            format!("{front}."),
            issuer.token(json!({"alg": "none"}), &claims()),
            issuer.token(json!({"alg": "HS256", "kid": "one"}), &claims()),
            issuer.token(json!({"alg": "ES256", "kid": "two"}), &claims()),
            Issuer::new().token(head, &claims()),
            String::new(),
            "a.b".to_owned(),
            "a.b.c.d".to_owned(),
            "x".repeat(MAX_TOKEN + 1),
        ] {
            assert!(verify(&forged, &issuer.keys, wanted()).is_err(), "{forged}");
        }
    }
}
