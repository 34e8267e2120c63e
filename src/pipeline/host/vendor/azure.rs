//! Azure Blob Storage.
//!
//! In: a container and a connection string, or account and key, or an account alone (then the
//! machine's own identity, as `AZURE_*` variables or the metadata service have it). Out: blobs.
//! Never: a container that is not there; it is not made.
//!
//! Connection strings: <https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string>.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::azure::MicrosoftAzureBuilder;

use super::Vendors;
use super::cloud::{Opened, Upload, retries};

/// Account and key that every emulator knows; Microsoft publishes both.
const EMULATOR: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);

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

/// Where and as whom.
#[derive(Debug, Default, PartialEq, Eq)]
struct Account {
    name: String,
    key: Option<String>,
    /// Pairs of a shared access signature.
    sas: Vec<(String, String)>,
    /// Address of the blob service.
    endpoint: Option<String>,
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
        let mut builder = match of_machine {
            true => MicrosoftAzureBuilder::from_env(),
            false => MicrosoftAzureBuilder::new(),
        };
        builder = builder
            .with_account(&account.name)
            .with_container_name(container)
            .with_retry(retries())
            .with_allow_http(true)
            .with_http_connector(self.cloud.bridge(of_machine && account.endpoint.is_none()));
        if let Some(key) = account.key {
            builder = builder.with_access_key(key);
        }
        if !account.sas.is_empty() {
            builder = builder.with_sas_authorization(account.sas);
        }
        if let Some(endpoint) = account.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder
            .build()
            .map_err(|error| format!("the container {container} cannot be opened: {error}"))?;
        Ok(Arc::new(store))
    }
}

fn account(login: &Login<'_>) -> Result<Account, String> {
    let account = match login.connection {
        Some(text) => of_connection(text)?,
        None => Account {
            name: login.account.unwrap_or_default().to_owned(),
            key: login.key.map(str::to_owned),
            ..Account::default()
        },
    };
    let named = !account.name.is_empty();
    // The name becomes part of an address.
    if !named
        || !account
            .name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric())
    {
        return Err(
            "vendor.azure.put needs the name of a storage account, or a connection string"
                .to_owned(),
        );
    }
    Ok(account)
}

fn of_connection(text: &str) -> Result<Account, String> {
    let parts: BTreeMap<String, &str> = text
        .split(';')
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim()))
        .collect();
    let part = |name: &str| parts.get(name).copied().filter(|value| !value.is_empty());
    if part("usedevelopmentstorage") == Some("true") {
        let (name, key) = EMULATOR;
        return Ok(Account {
            name: name.to_owned(),
            key: Some(key.to_owned()),
            endpoint: Some(format!("http://127.0.0.1:10000/{name}")),
            ..Account::default()
        });
    }
    let endpoint = part("blobendpoint").map(str::to_owned);
    let suffix = part("endpointsuffix").filter(|suffix| *suffix != "core.windows.net");
    let of_endpoint = || {
        let host = endpoint.as_deref()?.split("://").nth(1)?;
        host.split('.').next()
    };
    let name = part("accountname")
        .or_else(of_endpoint)
        .ok_or("the connection string of Azure names no account")?
        .to_owned();
    let scheme = part("defaultendpointsprotocol").unwrap_or("https");
    let endpoint = endpoint
        .clone()
        .or_else(|| suffix.map(|suffix| format!("{scheme}://{name}.blob.{suffix}")));
    let sas = part("sharedaccesssignature").unwrap_or_default();
    let sas = sas.trim_start_matches('?').split('&');
    let decoded = |text: &str| {
        let text = percent_encoding::percent_decode_str(text);
        text.decode_utf8_lossy().into_owned()
    };
    Ok(Account {
        name,
        key: part("accountkey").map(str::to_owned),
        sas: sas
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect(),
        endpoint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_are_read() {
        let plain = of_connection(
            "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5PQ==;EndpointSuffix=core.windows.net",
        );
        let wanted = Account {
            name: "acc".into(),
            key: Some("a2V5PQ==".into()),
            ..Account::default()
        };
        assert_eq!(plain.unwrap(), wanted);
        let china =
            of_connection("AccountName=acc;AccountKey=k;EndpointSuffix=core.chinacloudapi.cn");
        assert_eq!(
            china.unwrap().endpoint.as_deref(),
            Some("https://acc.blob.core.chinacloudapi.cn")
        );
        let signed = of_connection(
            "BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=?sv=2024&sig=a%2Bb%3D",
        )
        .unwrap();
        assert_eq!(signed.name, "acc");
        assert_eq!(signed.sas[1], ("sig".to_owned(), "a+b=".to_owned()));
        assert!(of_connection("x").is_err());
        let local = of_connection("UseDevelopmentStorage=true").unwrap();
        assert_eq!(local.name, EMULATOR.0);
    }

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
