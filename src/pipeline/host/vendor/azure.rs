//! Azure Blob Storage.
//!
//! In: a container and a connection string, or account and key, or an account alone (then the
//! machine's own identity, as `AZURE_*` variables or the metadata service have it). Out: blobs.
//! Never: a container that is not there; it is not made.

use std::sync::Arc;

use object_store::azure::MicrosoftAzureBuilder;

use super::Vendors;
use super::cloud::{Opened, Upload, retries};
use crate::store::cloud::azure::Account;

/// How a script wants to sign in.
#[derive(Debug, Default)]
pub(crate) struct Login<'a> {
    /// Account.
    pub(crate) account: Option<&'a str>,
    /// Key of the account.
    pub(crate) key: Option<&'a str>,
    /// Connection string, which goes before both.
    pub(crate) connection: Option<&'a str>,
}

impl Vendors {
    /// Uploads; answers the blob's URL.
    pub(crate) fn azure_put(
        &self,
        container: &str,
        login: &Login<'_>,
        upload: Upload,
    ) -> Result<String, String> {
        let account = account(login)?;
        let base = match &account.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://{}.blob.core.windows.net", account.name),
        };
        let store = self.azure(container, account)?;
        let Upload {
            file,
            content_type,
            key,
        } = upload;
        self.cloud.put(store.as_ref(), &key, file, content_type)?;
        Ok(format!("{base}/{container}/{key}"))
    }

    fn azure(&self, container: &str, account: Account) -> Result<Opened, String> {
        let of_machine = account.key.is_none() && account.sas.is_empty();
        if of_machine && account.endpoint.is_some() {
            // What the machine signs in with is for Azure alone.
            return Err(
                "the connection string of Azure has neither a key nor a signature".to_owned(),
            );
        }
        let builder = match of_machine {
            true => MicrosoftAzureBuilder::from_env(),
            false => MicrosoftAzureBuilder::new(),
        };
        let builder = account
            .on(builder)
            .with_container_name(container)
            .with_retry(retries())
            .with_allow_http(true)
            .with_http_connector(self.cloud.bridge(of_machine));
        let store = builder
            .build()
            .map_err(|error| format!("the container {container} cannot be opened: {error}"))?;
        Ok(Arc::new(store))
    }
}

fn account(login: &Login<'_>) -> Result<Account, String> {
    let account = match login.connection {
        Some(text) => Account::of_connection(text)?,
        None => Account {
            name: login.account.unwrap_or_default().to_owned(),
            key: login.key.map(str::to_owned),
            ..Account::default()
        },
    };
    if !account.is_named() {
        return Err(
            "vendor.azure.put needs the name of a storage account, or a connection string"
                .to_owned(),
        );
    }
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_must_be_a_name() {
        for name in ["", "a.b", "a/b", "evil@host"] {
            let login = Login {
                account: Some(name),
                ..Login::default()
            };
            assert!(account(&login).is_err(), "{name}");
        }
    }
}
