//! Credentials of tapedeck's own environment, for scripts that give none.
//!
//! In: a call of a helper, and the variables that the process was started with. Out: the call with
//! what it lacked. Never: a credential for an address that a script chose; a script cannot read one
//! either.
//!
//! What a script passes, from `scripting.env` or otherwise, goes before the environment.

use std::collections::BTreeMap;

use super::super::web::uri;
use crate::script::host::{ElasticLogin, HostCall};

/// One credential of one helper.
#[derive(Debug, Clone, Copy)]
pub struct Credential {
    /// The helper.
    pub helper: &'static str,
    /// The argument that may be left out.
    pub argument: &'static str,
    /// Where it is looked for, the first that is set.
    pub variables: &'static [&'static str],
    /// When it is used.
    pub used: Used,
}

/// When a credential of the environment is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// When the script gives none: the helper goes to one place only.
    Always,
    /// When the address is the environment's too.
    AtItsAddress,
    /// As the service's own client does it, which looks in more places.
    ByItsClient,
}

const fn credential(
    helper: &'static str,
    argument: &'static str,
    variables: &'static [&'static str],
    used: Used,
) -> Credential {
    Credential {
        helper,
        argument,
        variables,
        used,
    }
}

/// All of them.
pub static CREDENTIALS: &[Credential] = &[
    credential(
        "vendor.slack",
        "webhookUrl",
        &["SLACK_WEBHOOK_URL"],
        Used::Always,
    ),
    credential(
        "vendor.slackBot",
        "token",
        &["SLACK_BOT_TOKEN", "SLACK_AUTH_TOKEN"],
        Used::Always,
    ),
    credential("vendor.influxdb", "url", &["INFLUX_HOST"], Used::Always),
    credential(
        "vendor.influxdb",
        "token",
        &["INFLUX_TOKEN"],
        Used::AtItsAddress,
    ),
    credential(
        "vendor.influxdb",
        "org",
        &["INFLUX_ORG"],
        Used::AtItsAddress,
    ),
    credential(
        "vendor.elastic",
        "url",
        &["ELASTICSEARCH_HOST"],
        Used::Always,
    ),
    credential(
        "vendor.elastic",
        "username",
        &["ELASTICSEARCH_USERNAME"],
        Used::AtItsAddress,
    ),
    credential(
        "vendor.elastic",
        "password",
        &["ELASTICSEARCH_PASSWORD"],
        Used::AtItsAddress,
    ),
    credential(
        "vendor.elastic",
        "apiKey",
        &["ELASTICSEARCH_API_KEY"],
        Used::AtItsAddress,
    ),
    credential(
        "vendor.elastic",
        "serviceToken",
        &["ELASTICSEARCH_SERVICE_TOKEN"],
        Used::AtItsAddress,
    ),
    credential(
        "vendor.azure.put",
        "accountName",
        &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"],
        Used::Always,
    ),
    credential(
        "vendor.azure.put",
        "accountKey",
        &["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"],
        Used::AtItsAddress,
    ),
    credential(
        "vendor.azure.put",
        "connectionString",
        &["AZURE_STORAGE_CONNECTION_STRING"],
        Used::Always,
    ),
    credential(
        "vendor.gcs.put, vendor.gcs.clear",
        "serviceAccountKey",
        &[
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_SERVICE_ACCOUNT",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
        ],
        Used::ByItsClient,
    ),
    credential(
        "vendor.kinesis.put, vendor.s3.put, vendor.s3.clear",
        "keyId, secret",
        &[
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_PROFILE",
        ],
        Used::ByItsClient,
    ),
    credential(
        "chatgpt.prompt",
        "apiKey",
        &["OPENAI_API_KEY"],
        Used::Always,
    ),
];

/// The variables that name credentials, as they were when the program started.
#[derive(Clone, Default)]
pub struct Credentials(BTreeMap<String, String>);

/// Shows which are set, never what they are.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Credentials {
    /// Those that `variable` has, by name: the environment of the program.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Credentials {
        let ours = CREDENTIALS
            .iter()
            .filter(|one| one.used != Used::ByItsClient);
        let names = ours.flat_map(|one| one.variables.iter());
        Credentials::of(names.filter_map(|name| Some((*name, variable(name)?))))
    }

    /// Of names and values; empty ones count as absent.
    pub fn of<N: Into<String>>(variables: impl IntoIterator<Item = (N, String)>) -> Credentials {
        let set = variables.into_iter().filter(|(_, value)| !value.is_empty());
        Credentials(set.map(|(name, value)| (name.into(), value)).collect())
    }

    fn find(&self, helper: &str, argument: &str) -> Option<&str> {
        let mut all = CREDENTIALS.iter();
        let known = all.find(|one| one.helper == helper && one.argument == argument)?;
        let mut variables = known.variables.iter();
        variables.find_map(|name| self.0.get(*name).map(String::as_str))
    }

    /// Fills in an argument that is empty.
    fn fill(&self, helper: &str, argument: &str, into: &mut String) {
        if into.is_empty() {
            self.find(helper, argument)
                .unwrap_or_default()
                .clone_into(into);
        }
    }

    fn fill_option(&self, helper: &str, argument: &str, into: &mut Option<String>) {
        if into.is_none() {
            *into = self.find(helper, argument).map(str::to_owned);
        }
    }

    /// Whether `url` leads to the server that the environment names for a helper.
    fn is_at_its_address(&self, helper: &str, url: &str) -> bool {
        let Some(known) = self.find(helper, "url") else {
            return false;
        };
        let place = |url: &str| {
            let url = uri(url).ok()?;
            let scheme = url.scheme_str()?.to_owned();
            Some((scheme, url.host()?.to_lowercase(), url.port_u16()))
        };
        place(url).is_some_and(|place_of_url| Some(place_of_url) == place(known))
    }

    /// The call with what its script left out.
    ///
    /// # Errors
    /// A sentence when it lacks what nobody has.
    pub(crate) fn complete(&self, mut call: HostCall) -> Result<HostCall, String> {
        let helper = call.helper();
        match &mut call {
            HostCall::Slack { url, .. } => {
                self.fill(helper, "webhookUrl", url);
                self.must(helper, "webhookUrl", url)?;
            }
            HostCall::SlackBot { token, .. } => {
                self.fill(helper, "token", token);
                self.must(helper, "token", token)?;
            }
            HostCall::Influxdb {
                url, token, org, ..
            } => {
                self.fill(helper, "url", url);
                self.must(helper, "url", url)?;
                if self.is_at_its_address(helper, url) {
                    self.fill(helper, "token", token);
                    self.fill(helper, "org", org);
                }
            }
            HostCall::Elastic { url, login, .. } if login.cloud_id.is_none() => {
                self.fill(helper, "url", url);
                self.must(helper, "url", url)?;
                if is_anonymous(login) && self.is_at_its_address(helper, url) {
                    self.fill_option(helper, "username", &mut login.username);
                    self.fill_option(helper, "password", &mut login.password);
                    self.fill_option(helper, "apiKey", &mut login.api_key);
                    self.fill_option(helper, "serviceToken", &mut login.service_token);
                }
            }
            HostCall::AzurePut {
                account,
                key,
                connection,
                ..
            } => {
                if account.is_none() && key.is_none() && connection.is_none() {
                    self.fill_option(helper, "connectionString", connection);
                    self.fill_option(helper, "accountName", account);
                }
                let own = self.find(helper, "accountName");
                if key.is_none() && own.is_some() && account.as_deref() == own {
                    self.fill_option(helper, "accountKey", key);
                }
            }
            HostCall::ChatgptPrompt { key, .. } => {
                self.fill(helper, "apiKey", key);
                self.must(helper, "apiKey", key)?;
            }
            _ => {}
        }
        Ok(call)
    }

    fn must(&self, helper: &str, argument: &str, value: &str) -> Result<(), String> {
        if !value.is_empty() {
            return Ok(());
        }
        let mut all = CREDENTIALS.iter();
        let known = all.find(|one| one.helper == helper && one.argument == argument);
        let variable = known.and_then(|one| one.variables.first()).unwrap_or(&"");
        Err(format!(
            "{helper} needs {argument}: pass it, or start tapedeck with {variable}"
        ))
    }
}

fn is_anonymous(login: &ElasticLogin) -> bool {
    let ways = [
        &login.username,
        &login.password,
        &login.api_key,
        &login.service_token,
    ];
    ways.into_iter().all(Option::is_none)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        // Every variable, each with its own name as its value, but for addresses.
        let ours = CREDENTIALS
            .iter()
            .filter(|one| one.used != Used::ByItsClient);
        let all = ours.flat_map(|one| one.variables.iter().map(|name| (*name, (*name).to_owned())));
        let hosts = [
            ("INFLUX_HOST", "http://influx.example:8086".to_owned()),
            ("ELASTICSEARCH_HOST", "https://elastic.example".to_owned()),
        ];
        Credentials::of(all.chain(hosts))
    }

    fn influx(url: &str, token: &str) -> HostCall {
        HostCall::Influxdb {
            url: url.into(),
            token: token.into(),
            org: String::new(),
            bucket: "b".into(),
            measurement: "m".into(),
            fields: serde_json::Map::new(),
            tags: Vec::new(),
        }
    }

    fn told(call: HostCall) -> [String; 3] {
        match credentials().complete(call).unwrap() {
            HostCall::Influxdb {
                url, token, org, ..
            } => [url, token, org],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_credential_goes_to_its_own_address_only() {
        let host = "http://influx.example:8086";
        assert_eq!(told(influx("", "")), [host, "INFLUX_TOKEN", "INFLUX_ORG"]);
        let same = "http://Influx.example:8086/";
        assert_eq!(told(influx(same, "")), [same, "INFLUX_TOKEN", "INFLUX_ORG"]);
        for other in [
            "http://evil.example:8086",
            "http://influx.example:80",
            "https://influx.example:8086",
            "http://influx.example:8086@evil.example/",
            "http://influx.example.evil.example:8086",
        ] {
            assert_eq!(told(influx(other, "")), [other, "", ""]);
        }
    }

    #[test]
    fn what_a_script_gives_goes_first() {
        assert_eq!(told(influx("", "mine"))[1], "mine");
        let prompt = |key: &str| HostCall::ChatgptPrompt {
            key: key.into(),
            prompt: "?".into(),
            max_tokens: 1,
        };
        let key = |call| match credentials().complete(call) {
            Ok(HostCall::ChatgptPrompt { key, .. }) => key,
            other => panic!("{other:?}"),
        };
        assert_eq!(key(prompt("mine")), "mine");
        assert_eq!(key(prompt("")), "OPENAI_API_KEY");
        let none = Credentials::default().complete(prompt(""));
        assert_eq!(
            none.unwrap_err(),
            "chatgpt.prompt needs apiKey: pass it, or start tapedeck with OPENAI_API_KEY"
        );
    }

    #[test]
    fn elasticsearch_is_signed_in_to_by_one_way_or_that_of_the_script() {
        let call = |url: &str, login: ElasticLogin| {
            let call = HostCall::Elastic {
                url: url.into(),
                index: "i".into(),
                document: serde_json::json!({}),
                login,
            };
            match credentials().complete(call).unwrap() {
                HostCall::Elastic { url, login, .. } => (url, login),
                other => panic!("{other:?}"),
            }
        };
        let (url, login) = call("", ElasticLogin::default());
        assert_eq!(url, "https://elastic.example");
        assert_eq!(login.api_key.as_deref(), Some("ELASTICSEARCH_API_KEY"));
        let own = ElasticLogin {
            username: Some("u".into()),
            ..ElasticLogin::default()
        };
        assert_eq!(call("", own.clone()).1, own);
        let (_, login) = call("https://evil.example", ElasticLogin::default());
        assert_eq!(login, ElasticLogin::default());
        let cloud = ElasticLogin {
            cloud_id: Some("name:x".into()),
            ..ElasticLogin::default()
        };
        assert_eq!(call("", cloud.clone()), (String::new(), cloud));
    }

    #[test]
    fn azure_is_signed_in_to_with_the_key_of_its_account() {
        let call = |account: Option<&str>| {
            let call = HostCall::AzurePut {
                container: "c".into(),
                path: "p".into(),
                account: account.map(str::to_owned),
                key: None,
                connection: None,
            };
            match credentials().complete(call).unwrap() {
                HostCall::AzurePut {
                    key, connection, ..
                } => (key, connection),
                other => panic!("{other:?}"),
            }
        };
        let connection = Some("AZURE_STORAGE_CONNECTION_STRING".to_owned());
        assert_eq!(call(None).1, connection);
        let own = call(Some("AZURE_STORAGE_ACCOUNT_NAME"));
        assert_eq!(own, (Some("AZURE_STORAGE_ACCOUNT_KEY".to_owned()), None));
        assert_eq!(call(Some("other")), (None, None));
    }

    #[test]
    fn values_are_not_shown() {
        let shown = format!(
            "{:?}",
            Credentials::of([("OPENAI_API_KEY", "sk-1".to_owned())])
        );
        assert_eq!(shown, "{\"OPENAI_API_KEY\"}");
    }
}
