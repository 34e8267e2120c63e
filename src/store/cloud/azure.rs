//! A storage account of Azure: as a connection string has it, or by name and key.
//!
//! Connection strings: <https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string>.

use std::collections::BTreeMap;
use std::fmt;

use object_store::azure::MicrosoftAzureBuilder;

/// Account and key that every emulator knows; Microsoft publishes both.
const EMULATOR: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);

/// Where and as whom.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Account {
    /// Name of the storage account.
    pub name: String,
    /// Its key.
    pub key: Option<String>,
    /// Pairs of a shared access signature.
    pub sas: Vec<(String, String)>,
    /// Address of the blob service.
    pub endpoint: Option<String>,
}

/// Shows which account it is, never its secrets.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}, …)", self.name)
    }
}

impl Account {
    /// Whether the name can be one: it becomes part of an address.
    pub fn is_named(&self) -> bool {
        !self.name.is_empty() && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    /// A builder with this account and what is known of it.
    pub fn on(&self, builder: MicrosoftAzureBuilder) -> MicrosoftAzureBuilder {
        let mut builder = builder.with_account(&self.name);
        if let Some(key) = &self.key {
            builder = builder.with_access_key(key);
        }
        if !self.sas.is_empty() {
            builder = builder.with_sas_authorization(self.sas.clone());
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        builder
    }

    /// Reads a connection string.
    ///
    /// # Errors
    /// A sentence when it names no account.
    pub fn of_connection(text: &str) -> Result<Account, String> {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_are_read() {
        let plain = Account::of_connection(
            "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5PQ==;EndpointSuffix=core.windows.net",
        );
        let wanted = Account {
            name: "acc".into(),
            key: Some("a2V5PQ==".into()),
            ..Account::default()
        };
        assert_eq!(plain.unwrap(), wanted);
        let china = Account::of_connection(
            "AccountName=acc;AccountKey=k;EndpointSuffix=core.chinacloudapi.cn",
        );
        assert_eq!(
            china.unwrap().endpoint.as_deref(),
            Some("https://acc.blob.core.chinacloudapi.cn")
        );
        let signed = Account::of_connection(
            "BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=?sv=2024&sig=a%2Bb%3D",
        )
        .unwrap();
        assert_eq!(signed.name, "acc");
        assert_eq!(signed.sas[1], ("sig".to_owned(), "a+b=".to_owned()));
        assert!(Account::of_connection("x").is_err());
        let local = Account::of_connection("UseDevelopmentStorage=true").unwrap();
        assert_eq!(local.name, EMULATOR.0);
    }
}
