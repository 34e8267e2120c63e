//! Signing in and finding the bucket: credentials, region, endpoint, trust, proxies.
//!
//! In: [`S3Options`], and what the SDK itself reads of environment and `~/.aws`. Out: a client that
//! talks to the bucket's own region. Never: keeping a secret longer than the SDK does.

use std::sync::OnceLock;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_http_client::{Connector, proxy::ProxyConfig, tls};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::service_config::ServiceConfigKey;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::OnceCell;

use super::error::Asked;
use super::{Keys, S3Options, StoreError};

/// Threads of the shared runtime: they only move bytes, hashing happens in the callers' threads.
const RUNTIME_THREADS: usize = 2;

/// Time to connect; a dead address must not hold an upload thread for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for one try of one request: 100 MiB over a line of 4 Mbit/s.
pub(super) const TRY_TIMEOUT: Duration = Duration::from_secs(210);

/// Tries of one request; whoever must not give up tries again outside.
pub(super) const MAX_TRIES: u32 = 4;

/// Time to learn who we are; it is only for a better sentence.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(3);

/// Region assumed until the bucket says another one.
const FIRST_REGION: &str = "us-east-1";

/// A client for one bucket.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) options: S3Options,
    /// Region the requests are signed for.
    pub(super) region: String,
    /// Endpoint when it is not Amazon's.
    pub(super) endpoint: Option<String>,
    config: SdkConfig,
    identity: OnceCell<Option<String>>,
    /// Whether listing versions was denied or is unknown here; learnt on first use.
    pub(super) no_versions: std::sync::atomic::AtomicBool,
}

impl Connection {
    /// Signs in and finds the bucket's region.
    ///
    /// # Errors
    /// When there are no credentials, nothing answers, or there is no such bucket.
    pub(super) async fn open(options: &S3Options) -> Result<Connection, StoreError> {
        let config = sdk_config(options).await?;
        let endpoint = endpoint_of(options, &config);
        let region = config
            .region()
            .map_or_else(|| FIRST_REGION.to_owned(), ToString::to_string);
        let mut connection = Connection {
            client: client(options, &config, endpoint.as_deref(), &region),
            options: options.clone(),
            region,
            endpoint,
            config,
            identity: OnceCell::new(),
            no_versions: false.into(),
        };
        if connection.endpoint.is_none() {
            connection.find_region().await?;
        }
        Ok(connection)
    }

    /// Amazon names a bucket's region to everybody, also with a refusal.
    async fn find_region(&mut self) -> Result<(), StoreError> {
        let bucket = &self.options.bucket;
        let region = match self.client.head_bucket().bucket(bucket).send().await {
            Ok(found) => found.bucket_region().map(str::to_owned),
            Err(error) => {
                let header = error
                    .raw_response()
                    .and_then(|response| response.headers().get("x-amz-bucket-region"))
                    .map(str::to_owned);
                let status = error
                    .raw_response()
                    .map(|response| response.status().as_u16());
                match (header, status) {
                    (Some(region), _) => Some(region),
                    // A right to put is enough; what else is wrong shows with the first put.
                    (None, Some(301 | 400 | 403)) => None,
                    _ => return Err(Asked::bucket(self, "s3:ListBucket").failed(error).await),
                }
            }
        };
        if let Some(region) = region.filter(|region| *region != self.region) {
            self.client = client(&self.options, &self.config, None, &region);
            self.region = region;
        }
        Ok(())
    }

    /// Who signs the requests, where it can be known: an ARN, or an access key.
    pub(super) async fn identity(&self) -> Option<String> {
        self.identity
            .get_or_init(|| async {
                if self.options.anonymous {
                    return Some("anonymous access".to_owned());
                }
                if self.endpoint.is_none() {
                    let sts = aws_sdk_sts::Client::new(&self.config);
                    let asked = sts.get_caller_identity().send();
                    if let Ok(Ok(found)) = tokio::time::timeout(IDENTITY_TIMEOUT, asked).await
                        && let Some(arn) = found.arn()
                    {
                        return Some(arn.to_owned());
                    }
                }
                let provider = self.config.credentials_provider()?;
                let credentials = provider.provide_credentials().await.ok()?;
                Some(format!("access key {}", credentials.access_key_id()))
            })
            .await
            .clone()
    }
}

/// A runtime shared by all S3 stores of the process.
pub(super) fn shared_runtime() -> Result<Handle, StoreError> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            Builder::new_multi_thread()
                .worker_threads(RUNTIME_THREADS)
                .thread_name("s3")
                .enable_all()
                .build()
                .map_err(|error| format!("no threads for S3 can be started: {error}"))
        })
        .as_ref()
        .map(|runtime| runtime.handle().clone())
        .map_err(|error| StoreError::Io(error.clone()))
}

/// Credentials of the default chain, for another service of Amazon.
pub(super) fn default_keys() -> Result<Keys, String> {
    let found = shared_runtime()
        .map_err(|error| error.to_string())?
        .block_on(async {
            let options = S3Options::default();
            let config = sdk_config(&options)
                .await
                .map_err(|error| error.to_string())?;
            let provider = config.credentials_provider();
            let provider = provider.ok_or("there is no way to find credentials")?;
            let found = provider.provide_credentials().await;
            found.map_err(|error| format!("no credentials of Amazon are found: {error}"))
        })?;
    Ok(Keys {
        access_key_id: found.access_key_id().to_owned(),
        secret_access_key: found.secret_access_key().to_owned(),
        session_token: found.session_token().map(str::to_owned),
    })
}

async fn sdk_config(options: &S3Options) -> Result<SdkConfig, StoreError> {
    let http = http_client(options)?;
    let mut profile_region = ProfileFileRegionProvider::builder();
    if let Some(profile) = &options.profile {
        profile_region = profile_region.profile_name(profile);
    }
    // The instance's region is left out on purpose: asking for it costs seconds anywhere else, and
    // the bucket names its own.
    let region = RegionProviderChain::first_try(options.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(profile_region.build())
        .or_else(Region::new(FIRST_REGION));
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(RetryConfig::standard().with_max_attempts(options.tries.unwrap_or(MAX_TRIES)))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(options.try_timeout.unwrap_or(TRY_TIMEOUT))
                .build(),
        );
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    if options.anonymous {
        loader = loader.no_credentials();
    } else if let Some(keys) = &options.keys {
        loader = loader.credentials_provider(Credentials::new(
            &keys.access_key_id,
            &keys.secret_access_key,
            keys.session_token.clone(),
            None,
            "scripting.env",
        ));
    } else if let Some(profile) = &options.profile {
        // A profile that was asked for goes before keys that happen to be in the environment.
        let known_region = region.region().await;
        let provider = ProfileFileCredentialsProvider::builder()
            .configure(
                &ProviderConfig::without_region()
                    .with_region(known_region)
                    .with_http_client(http),
            )
            .profile_name(profile)
            .build();
        loader = loader.credentials_provider(provider);
    }
    Ok(loader.region(region).load().await)
}

/// An endpoint that is not Amazon's own, from the options, the environment or the profile.
fn endpoint_of(options: &S3Options, config: &SdkConfig) -> Option<String> {
    let configured = || {
        let key = ServiceConfigKey::builder()
            .service_id("S3")
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .ok()?;
        config.service_config()?.load_config(key)
    };
    options
        .endpoint
        .clone()
        .or_else(configured)
        .or_else(|| config.endpoint_url().map(str::to_owned))
        .filter(|endpoint| !is_amazon(endpoint))
}

/// Whether an endpoint is one of Amazon's, where buckets have names of their own and know regions.
fn is_amazon(endpoint: &str) -> bool {
    let host = endpoint.split("://").last().unwrap_or_default();
    let host = host.split(['/', ':']).next().unwrap_or_default();
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}

fn client(options: &S3Options, config: &SdkConfig, endpoint: Option<&str>, region: &str) -> Client {
    let mut s3 = aws_sdk_s3::config::Builder::from(config)
        .region(Region::new(region.to_owned()))
        // Every body carries its SHA-256, and readers compare it with the manifest.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .force_path_style(
            options
                .path_style
                .unwrap_or(endpoint.is_some() || options.bucket.contains('.')),
        );
    if let Some(endpoint) = endpoint {
        let with_scheme = match endpoint.contains("://") {
            true => endpoint.to_owned(),
            false => format!("https://{endpoint}"),
        };
        s3 = s3.endpoint_url(with_scheme);
    }
    Client::from_conf(s3.build())
}

/// Rustls on ring, with the system's authorities, a bundle beside them, and proxies as the
/// environment says (`HTTPS_PROXY`, `NO_PROXY`).
fn http_client(options: &S3Options) -> Result<SharedHttpClient, StoreError> {
    let mut trust = tls::TrustStore::default();
    if let Some(path) = &options.ca_bundle {
        let pem = std::fs::read(path).map_err(|error| {
            StoreError::Refused(format!(
                "the certificate bundle {} cannot be read: {error}",
                path.display()
            ))
        })?;
        trust = trust.with_pem_certificate(pem);
    }
    let context = tls::TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|error| {
            StoreError::Refused(format!("the certificate bundle cannot be used: {error}"))
        })?;
    Ok(
        aws_smithy_http_client::Builder::new().build_with_connector_fn(
            move |settings, components| {
                let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
                connector.set_connector_settings(settings.cloned());
                connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
                connector
                    .tls_provider(tls::Provider::Rustls(
                        tls::rustls_provider::CryptoMode::Ring,
                    ))
                    .tls_context(context.clone())
                    .build()
            },
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amazon_is_told_from_others() {
        assert!(is_amazon("https://s3.eu-west-1.amazonaws.com"));
        assert!(is_amazon(
            "https://bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com/x"
        ));
        assert!(!is_amazon("http://127.0.0.1:8333"));
        assert!(!is_amazon("https://s3.example.com/amazonaws.com"));
    }
}
