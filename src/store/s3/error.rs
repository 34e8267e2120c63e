//! What went wrong at S3, as one sentence a person can act on.
//!
//! In: errors of the SDK. Out: [`StoreError`]s that name bucket, key, the permission that is
//! missing and who asked. Never: a secret, a request id where a sentence would do.
//! Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::http::Response;

use super::connection::Connection;
use super::{S3Options, StoreError};

/// What was asked for, so that a refusal can be explained.
pub(super) struct Asked<'a> {
    connection: &'a Connection,
    permission: &'static str,
    key: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// Something about the bucket.
    pub(super) fn bucket(connection: &'a Connection, permission: &'static str) -> Asked<'a> {
        Asked {
            connection,
            permission,
            key: None,
        }
    }

    /// Something about the object `key`.
    pub(super) fn object(
        connection: &'a Connection,
        permission: &'static str,
        key: &'a str,
    ) -> Asked<'a> {
        Asked {
            connection,
            permission,
            key: Some(key),
        }
    }

    /// The sentence for `error`; asks who we are when we may not do what we asked for.
    pub(super) async fn failed<E>(&self, error: SdkError<E, Response>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let failure = Failure::of(&error);
        let identity = match failure {
            Failure::Service {
                status: 401 | 403, ..
            } => self.connection.identity().await,
            _ => None,
        };
        let place = Place {
            options: &self.connection.options,
            endpoint: self.connection.endpoint.as_deref(),
            region: &self.connection.region,
            key: self.key,
        };
        explain(&failure, &place, self.permission, identity.as_deref())
    }
}

/// What the SDK reported, reduced to what sentences are made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Credentials could not be had.
    Credentials(String),
    /// No connection, or it broke.
    Network(String),
    /// The server's certificate is not trusted, or TLS failed otherwise.
    Tls(String),
    /// Nothing came in time.
    Timeout,
    /// The server refused.
    Service {
        /// HTTP status.
        status: u16,
        /// S3's error code; empty for answers without a body (HEAD).
        code: String,
        /// S3's message.
        message: String,
        /// The bucket's region, when the answer names it.
        region: Option<String>,
    },
}

impl Failure {
    /// Reduces `error`.
    pub(super) fn of<E>(error: &SdkError<E, Response>) -> Failure
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let Some(response) = error.raw_response() {
            let metadata = error.as_service_error().map(ProvideErrorMetadata::meta);
            let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
            return Failure::Service {
                status: response.status().as_u16(),
                code: text(metadata.and_then(|metadata| metadata.code())),
                message: text(metadata.and_then(|metadata| metadata.message())),
                region: response
                    .headers()
                    .get("x-amz-bucket-region")
                    .map(str::to_owned),
            };
        }
        let causes = causes(error);
        let text = causes.join(": ");
        let low = text.to_lowercase();
        if has_credentials_error(error) {
            Failure::Credentials(text)
        } else if ["certificate", "unknownissuer", "tls", "handshake"]
            .iter()
            .any(|word| low.contains(word))
        {
            Failure::Tls(causes.last().cloned().unwrap_or_default())
        } else if matches!(error, SdkError::TimeoutError(_)) || low.contains("timed out") {
            Failure::Timeout
        } else {
            Failure::Network(causes.last().cloned().unwrap_or_default())
        }
    }

    /// Whether the right is missing.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self, Failure::Service { status: 403, code, .. } if !SIGN_IN.contains(&code.as_str()))
    }

    /// Whether the store did not take the credentials, or there are none.
    pub(super) fn is_sign_in(&self) -> bool {
        match self {
            Failure::Credentials(_) => true,
            Failure::Service { code, .. } => SIGN_IN.contains(&code.as_str()),
            _ => false,
        }
    }

    /// Whether it says that there is no lock to be told of, which only those hear who may ask.
    pub(super) fn means_no_lock(&self) -> bool {
        self.status() == Some(400) && self.has_no_lock_code()
    }

    /// Whether its code is one for buckets and objects without a lock.
    pub(super) fn has_no_lock_code(&self) -> bool {
        NO_LOCK.contains(&self.code())
    }

    /// Whether the key or version is not there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Failure::Service { status: 404, code, .. } if code != "NoSuchBucket")
    }

    /// The HTTP status, if there was an answer.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Failure::Service { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// S3's error code.
    pub(super) fn code(&self) -> &str {
        match self {
            Failure::Service { code, .. } => code,
            _ => "",
        }
    }
}

/// Codes for credentials that S3 itself refused.
const SIGN_IN: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "RequestTimeTooSkewed",
];

/// Codes for buckets and objects without a lock.
const NO_LOCK: &[&str] = &[
    "InvalidRequest",
    "NoSuchObjectLockConfiguration",
    "ObjectLockConfigurationNotFoundError",
];

struct Place<'a> {
    options: &'a S3Options,
    endpoint: Option<&'a str>,
    region: &'a str,
    key: Option<&'a str>,
}

/// The sentence for a failure.
fn explain(
    failure: &Failure,
    place: &Place<'_>,
    permission: &str,
    identity: Option<&str>,
) -> StoreError {
    let bucket = format!("s3://{}", place.options.bucket);
    let object = match place.key {
        Some(key) => format!("{bucket}/{key}"),
        None => bucket.clone(),
    };
    let server = place.endpoint.unwrap_or("Amazon S3");
    match failure {
        Failure::Credentials(text) => {
            StoreError::Credentials(sign_in_sentence(text, place.options.profile.as_deref()))
        }
        Failure::Tls(text) => StoreError::Refused(format!(
            "{server} cannot be trusted ({text}); name the file of its authority in AWS_CA_BUNDLE"
        )),
        Failure::Timeout => {
            StoreError::Unavailable(format!("{server} did not answer in time for {object}"))
        }
        Failure::Network(text) => {
            StoreError::Unavailable(format!("{server} cannot be reached for {object}: {text}"))
        }
        Failure::Service {
            status,
            code,
            message,
            region,
        } => {
            let who = identity.map_or_else(String::new, |who| format!(" for {who}"));
            let said = match (code.as_str(), message.as_str()) {
                ("", "") => format!("status {status}"),
                (code, "") => code.to_owned(),
                (_, message) => message.trim_end_matches('.').to_owned(),
            };
            let about_key = message.to_lowercase().contains("kms") || code.starts_with("KMS.");
            match (*status, code.as_str()) {
                (_, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired") => {
                    StoreError::Credentials(format!(
                        "the temporary credentials{who} have expired; sign in again"
                    ))
                }
                (_, "InvalidAccessKeyId") => StoreError::Credentials(format!(
                    "{server} does not know the access key{}; check AWS_ACCESS_KEY_ID",
                    identity.map_or_else(String::new, |who| format!(
                        " {}",
                        who.trim_start_matches("access key ")
                    ))
                )),
                (_, "InvalidToken") => StoreError::Credentials(format!(
                    "{server} refused the session token{who}; check AWS_SESSION_TOKEN"
                )),
                (_, "SignatureDoesNotMatch") => StoreError::Credentials(format!(
                    "{server} refused the signature{who}; check AWS_SECRET_ACCESS_KEY"
                )),
                (_, "RequestTimeTooSkewed") => StoreError::Credentials(format!(
                    "this machine's clock differs too much from that of {server}; set the clock"
                )),
                (_, "NoSuchBucket") => StoreError::Missing(format!(
                    "there is no bucket {bucket} at {server}; check its name and the endpoint"
                )),
                (_, "NoSuchKey" | "NoSuchVersion") => {
                    StoreError::Missing(format!("there is no {object}"))
                }
                (404, "") | (404, "NotFound") if place.key.is_none() => {
                    StoreError::Missing(format!(
                        "there is no bucket {bucket} at {server}; check its name and the endpoint"
                    ))
                }
                (404, _) => StoreError::Missing(format!("there is no {object}")),
                (301 | 307, _)
                | (_, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                    let there = region.as_deref().map_or_else(
                        || "another region".to_owned(),
                        |region| format!("region {region}"),
                    );
                    StoreError::Refused(format!(
                        "{bucket} is in {there}, the request went to {}; set the region",
                        place.region
                    ))
                }
                (_, "InvalidObjectState") => StoreError::Refused(format!(
                    "{object} is archived (Glacier); restore it first, then read it"
                )),
                (403, _) if about_key => StoreError::Denied(format!(
                    "the KMS key of {object} may not be used{who} ({said}); grant kms:GenerateDataKey and kms:Decrypt on it"
                )),
                (_, code) if code.starts_with("KMS.") => {
                    StoreError::Refused(format!("the KMS key of {object} cannot be used: {said}"))
                }
                (401 | 403, _) => StoreError::Denied(format!(
                    "{permission} on {object} is denied{who}; grant it, or see `tapedeck store policy`"
                )),
                // A body damaged on its way is sent again.
                (_, "BadDigest" | "RequestTimeout" | "IncompleteBody" | "OperationAborted")
                | (408 | 429, _)
                | (500.., _) => StoreError::Unavailable(format!(
                    "{server} could not do {permission} on {object} now: {said}"
                )),
                _ => StoreError::Refused(format!(
                    "{server} refused {permission} on {object}: {said}"
                )),
            }
        }
    }
}

fn sign_in_sentence(text: &str, profile: Option<&str>) -> String {
    let low = text.to_lowercase();
    let of_profile = profile.map_or_else(String::new, |profile| format!(" --profile {profile}"));
    if low.contains("sso") {
        return format!(
            "the SSO session has expired or was never opened; run: aws sso login{of_profile}"
        );
    }
    if low.contains("credential_process") || low.contains("external process") {
        return format!("the credential_process of the profile failed: {text}");
    }
    if low.contains("assume") || low.contains("web identity") {
        return format!("the role could not be assumed: {text}");
    }
    if let Some(profile) = profile {
        return format!("profile {profile} gives no credentials: {text}");
    }
    "no AWS credentials were found in environment, profile, web identity, container or instance; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or say --s3-anonymous for a public bucket".to_owned()
}

/// The messages of an error and what caused it, outermost first, each once.
fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !causes.iter().any(|said| said.contains(&text)) {
            causes.push(text);
        }
        next = error.source();
    }
    causes
}

fn has_credentials_error(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<CredentialsError>() {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(status: u16, code: &str, message: &str, region: Option<&str>) -> StoreError {
        let options = S3Options {
            bucket: "b".into(),
            ..S3Options::default()
        };
        let place = Place {
            options: &options,
            endpoint: None,
            region: "us-east-1",
            key: Some("k"),
        };
        let failure = Failure::Service {
            status,
            code: code.into(),
            message: message.into(),
            region: region.map(str::to_owned),
        };
        explain(
            &failure,
            &place,
            "s3:PutObject",
            Some("arn:aws:iam::1:user/u"),
        )
    }

    #[test]
    fn each_cause_has_its_own_sentence() {
        let cases: &[(u16, &str, &str, &str)] = &[
            (
                400,
                "ExpiredToken",
                "",
                "the temporary credentials for arn:aws:iam::1:user/u have expired; sign in again",
            ),
            (
                403,
                "RequestTimeTooSkewed",
                "",
                "this machine's clock differs too much from that of Amazon S3; set the clock",
            ),
            (
                404,
                "NoSuchBucket",
                "",
                "there is no bucket s3://b at Amazon S3; check its name and the endpoint",
            ),
            (404, "NoSuchKey", "", "there is no s3://b/k"),
            (
                301,
                "PermanentRedirect",
                "",
                "s3://b is in region eu-west-3, the request went to us-east-1; set the region",
            ),
            (
                403,
                "InvalidObjectState",
                "",
                "s3://b/k is archived (Glacier); restore it first, then read it",
            ),
            (
                403,
                "AccessDenied",
                "not authorized to perform kms:GenerateDataKey.",
                "the KMS key of s3://b/k may not be used for arn:aws:iam::1:user/u (not authorized to perform kms:GenerateDataKey); grant kms:GenerateDataKey and kms:Decrypt on it",
            ),
            (
                403,
                "AccessDenied",
                "Access Denied",
                "s3:PutObject on s3://b/k is denied for arn:aws:iam::1:user/u; grant it, or see `tapedeck store policy`",
            ),
            (
                503,
                "SlowDown",
                "Please reduce your request rate.",
                "Amazon S3 could not do s3:PutObject on s3://b/k now: Please reduce your request rate",
            ),
        ];
        for (status, code, message, wanted) in cases {
            let error = sentence(*status, code, message, Some("eu-west-3"));
            assert_eq!(error.to_string(), *wanted);
        }
    }

    #[test]
    fn an_unknown_key_is_named_once() {
        let place = Place {
            options: &S3Options::default(),
            endpoint: Some("http://127.0.0.1:9000"),
            region: "us-east-1",
            key: None,
        };
        let failure = Failure::Service {
            status: 403,
            code: "InvalidAccessKeyId".into(),
            message: String::new(),
            region: None,
        };
        assert!(failure.is_sign_in() && !failure.is_denied());
        let error = explain(&failure, &place, "s3:PutObject", Some("access key AKIA1"));
        assert_eq!(
            error.to_string(),
            "http://127.0.0.1:9000 does not know the access key AKIA1; check AWS_ACCESS_KEY_ID"
        );
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(sentence(503, "SlowDown", "", None).is_transient());
        assert!(sentence(400, "ExpiredToken", "", None).is_transient());
        assert!(!sentence(403, "AccessDenied", "", None).is_transient());
        assert!(!sentence(404, "NoSuchBucket", "", None).is_transient());
    }

    #[test]
    fn an_expired_sso_session_names_the_command() {
        let text = "an error occurred while loading credentials: the SSO token has expired";
        assert_eq!(
            sign_in_sentence(text, Some("dev")),
            "the SSO session has expired or was never opened; run: aws sso login --profile dev"
        );
    }
}
