//! Google Cloud Storage.
//!
//! In: a bucket, the parsed key of a service account or nothing (then the machine's own identity, by
//! `GOOGLE_APPLICATION_CREDENTIALS` or the metadata service). Out: objects. Never: a look at objects
//! of others.

use std::sync::Arc;

use object_store::gcp::GoogleCloudStorageBuilder;
use serde_json::Value as Json;

use super::Vendors;
use super::cloud::{Opened, Upload, retries};

impl Vendors {
    /// Uploads; answers the object's URL.
    pub(crate) fn gcs_put(
        &self,
        bucket: &str,
        key: Option<&Json>,
        upload: Upload,
    ) -> Result<String, String> {
        let store = self.gcs(bucket, key)?;
        let Upload {
            file,
            content_type,
            key,
        } = upload;
        self.cloud.put(store.as_ref(), &key, file, content_type)?;
        Ok(format!("https://storage.googleapis.com/{bucket}/{key}"))
    }

    /// Deletes the folders for which `is_ours` is true.
    pub(crate) fn gcs_clear(
        &self,
        bucket: &str,
        key: Option<&Json>,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let store = self.gcs(bucket, key)?;
        self.cloud.clear(store.as_ref(), is_ours)
    }

    fn gcs(&self, bucket: &str, key: Option<&Json>) -> Result<Opened, String> {
        let builder = match key {
            Some(key) => GoogleCloudStorageBuilder::new().with_service_account_key(key.to_string()),
            None => GoogleCloudStorageBuilder::from_env(),
        };
        let mut builder = builder
            .with_bucket_name(bucket)
            .with_retry(retries())
            .with_http_connector(self.cloud.bridge(key.is_none()));
        if let Some(server) = &self.options.gcs {
            let server = match server.contains("://") {
                true => server.clone(),
                false => format!("http://{server}"),
            };
            // As Google's own clients do: a server of one's own wants no token of Google's.
            builder = builder
                .with_base_url(server.trim_end_matches('/'))
                .with_skip_signature(true)
                .with_bearer_token("none");
        }
        let store = builder
            .build()
            .map_err(|error| format!("the bucket {bucket} cannot be opened: {error}"))?;
        Ok(Arc::new(store))
    }
}
