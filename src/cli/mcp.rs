//! `tapedeck mcp`: the Model Context Protocol on the standard streams, for assistants that start their
//! servers themselves.
//!
//! In: messages on stdin. Out: answers on stdout, and nothing else there; what is for people goes to
//! stderr. What is asked is asked of a running tapedeck over HTTP, with its token.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use percent_encoding::percent_decode_str;
use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use rmcp::transport::stdio;
use serde_json::{Value as Json, json};

use super::config::Config;
use super::exit::{Answer, Exit, Failure};
use super::release::{InstanceArgs, Place};
use super::signals::asked_to_end;
use super::tap::live::runtime;
use super::{Global, data_dir, instance};
use crate::server::mcp::tools::{TOOLS, Tool};
use crate::server::mcp::{Assistant, Elsewhere, role_at};

/// Where a tapedeck answers unless told otherwise.
const USUAL: &str = "http://127.0.0.1:8899";

/// Variables that hold a token, the first before the second, which is that of another program.
const TOKENS: [&str; 2] = ["TAPEDECK_TOKEN", "KUBESHARK_HUB_TOKEN"];

/// Answer an assistant over the Model Context Protocol, on stdin and stdout
///
/// Asks the tapedeck on this machine, else the release in the cluster; with --url the one there. Its
/// tools are what the token's role allows; those that act need --allow-destructive as well. Ends with
/// stdin or Ctrl+C. A running tapedeck serves the same at /mcp, without this command.
#[derive(Debug, Args)]
#[command(after_help = "\
The token of --url is that of --token, else TAPEDECK_TOKEN or KUBESHARK_HUB_TOKEN of the environment,
else the one of a tapedeck of yours that runs there.

Examples:
  tapedeck mcp --list-tools
  tapedeck mcp --mcp-config
  tapedeck mcp --url https://tapedeck.example.org --mcp-config
  tapedeck mcp -s tapedeck --context production")]
pub struct McpArgs {
    /// Address of a tapedeck, as http://127.0.0.1:8899; the one that it printed will do
    #[arg(long, value_name = "URL", conflicts_with_all = ["release_namespace", "release_name", "kubeconfig", "context"])]
    url: Option<String>,

    /// Token to ask with
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Offer tools that act, too: recordings, scripts, jobs
    #[arg(long)]
    allow_destructive: bool,

    /// Print the tools and end; nothing is asked for that
    #[arg(long, conflicts_with = "mcp_config")]
    list_tools: bool,

    /// Print what the configuration of an MCP client needs and end; a token comes in as a variable
    #[arg(long)]
    mcp_config: bool,

    /// How --list-tools prints
    #[arg(long, value_enum, default_value = "table", requires = "list_tools")]
    format: Format,

    #[command(flatten)]
    release: InstanceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people
    Table,
    /// One JSON list
    Json,
}

/// Runs the command.
pub fn run(args: &McpArgs, global: &Global, config: &Config) -> Result<Exit, Failure> {
    if args.list_tools {
        list(args.format);
        return Ok(Exit::Done);
    }
    if args.mcp_config {
        super::print(format_args!("{:#}", client_config(args, global)?));
        return Ok(Exit::Done);
    }
    let token = args.token.clone().or_else(token_of_environment);
    // The forwarded port lasts as long as this.
    let (there, _place) = reach(args, token, config)?;
    let role =
        role_at(&there).map_err(|(status, sentence)| Failure::from(Answer { status, sentence }))?;
    let assistant = Assistant::new(Arc::new(there), role, args.allow_destructive);
    serve(assistant)
}

/// The tapedeck that is asked, and how it is reached.
fn reach(
    args: &McpArgs,
    token: Option<String>,
    config: &Config,
) -> Result<(Elsewhere, Option<Place>), Failure> {
    if let Some(url) = &args.url {
        let (base, in_url) = base_of(url)?;
        let token = args.token.clone().or(in_url).or(token);
        let token = token.or_else(|| token_of_run(&base, config));
        return Ok((Elsewhere::new(&base, &token.unwrap_or_default()), None));
    }
    match Place::find(&args.release, config) {
        Ok(place) => {
            let base = format!("http://{}", place.instance.address);
            let token = token.unwrap_or_else(|| place.instance.token.clone());
            Ok((Elsewhere::new(&base, &token), Some(place)))
        }
        // One of somebody else may run here.
        Err(failure) => match token.filter(|_| !args.release.is_given()) {
            Some(token) => Ok((Elsewhere::new(USUAL, &token), None)),
            None => Err(failure),
        },
    }
}

fn token_of_environment() -> Option<String> {
    let mut set = TOKENS.iter().filter_map(std::env::var_os);
    set.find(|token| !token.is_empty())?.into_string().ok()
}

/// The token of a run of this user at `base`.
fn token_of_run(base: &str, config: &Config) -> Option<String> {
    let run = instance::find(&data_dir(config).ok()?).ok()?;
    let port = run.address.port();
    let names = [
        format!("http://{}", run.address),
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1:{port}"),
    ];
    names.iter().any(|name| name == base).then_some(run.token)
}

/// The address below which the API is, and the token in it. A path is that of a proxy, but for those of
/// the program itself, which may be left out.
fn base_of(url: &str) -> Result<(String, Option<String>), Failure> {
    let wrong = || Failure::usage(format!("--url {url} is no address; write one as {USUAL}"));
    let uri: http::Uri = url.trim().parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong());
    };
    if !["http", "https"].contains(&scheme) || authority.as_str().contains('@') {
        return Err(wrong());
    }
    let path = uri.path().trim_end_matches('/');
    let path = OWN_PATHS.iter().find_map(|own| path.strip_suffix(own));
    let path = path.unwrap_or(uri.path()).trim_end_matches('/');
    let query = uri.query().unwrap_or_default();
    let token = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="));
    let token = token.map(|token| percent_decode_str(token).decode_utf8());
    let token = token.transpose().map_err(|_| wrong())?;
    let base = format!("{scheme}://{authority}{path}");
    Ok((base, token.map(std::borrow::Cow::into_owned)))
}

/// Paths of the program that people find in addresses, each before those that it ends with.
const OWN_PATHS: [&str; 5] = ["/api/v1/mcp", "/api/mcp", "/mcp", "/api/v1", "/api"];

/// Serves until stdin or the process is to end.
fn serve(assistant: Assistant) -> Result<Exit, Failure> {
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let session = async {
            match assistant.serve(stdio()).await {
                Ok(running) => drop(running.waiting().await),
                // Whoever started it went away before saying anything.
                Err(ServerInitializeError::ConnectionClosed(_)) => {}
                Err(error) => {
                    return Err(Failure::failed(format!(
                        "stdin does not speak the Model Context Protocol: {error}"
                    )));
                }
            }
            Ok(Exit::Done)
        };
        tokio::select! {
            ended = session => ended,
            asked = asked_to_end() => asked.map(|()| Exit::Done).map_err(Failure::from),
        }
    });
    // A thread may still wait for stdin, which nothing else can end.
    runtime.shutdown_background();
    served
}

/// What `--allow-destructive` and roles have to do with a tool.
fn needs(tool: &Tool) -> String {
    match tool.acts() {
        true => format!("{}, --allow-destructive", tool.role().name()),
        false => tool.role().name().to_owned(),
    }
}

fn list(format: Format) {
    if format == Format::Json {
        let tools = TOOLS.iter().map(|tool| {
            json!({
                "name": tool.name, "role": tool.role().name(), "acts": tool.acts(),
                "destructive": tool.is_destructive(), "audited": tool.is_audited(),
                "description": tool.description(),
            })
        });
        super::print(format_args!("{:#}", Json::Array(tools.collect())));
        return;
    }
    let name_width = TOOLS
        .iter()
        .map(|tool| tool.name.len())
        .max()
        .unwrap_or_default();
    let role_width = TOOLS
        .iter()
        .map(|tool| needs(tool).len())
        .max()
        .unwrap_or_default();
    super::print(format_args!(
        "{:name_width$}  {:role_width$}  WHAT IT TELLS OR DOES",
        "NAME", "NEEDS"
    ));
    for tool in TOOLS {
        super::print(format_args!(
            "{:name_width$}  {:role_width$}  {}",
            tool.name,
            needs(tool),
            tool.about
        ));
    }
}

/// The block that configurations of MCP clients hold.
///
/// ```text
/// {"mcpServers": {"tapedeck": {"command", "args": [...], "env": {...}}}}
/// ```
fn client_config(args: &McpArgs, global: &Global) -> Result<Json, Failure> {
    let program = std::env::current_exe()?;
    let mut flags = vec!["mcp".to_owned()];
    flags.extend(global.flags()?);
    let mut token = args.token.clone();
    if let Some(url) = &args.url {
        let (base, in_url) = base_of(url)?;
        token = token.or(in_url);
        flags.extend(["--url".to_owned(), base]);
    }
    flags.extend(args.release.flags());
    if args.allow_destructive {
        flags.push("--allow-destructive".to_owned());
    }
    let mut server = json!({"command": program.display().to_string(), "args": flags});
    if let Some(token) = token {
        // Whoever lists processes sees arguments, and not their environment.
        server["env"] = json!({TOKENS[0]: token});
    }
    Ok(json!({"mcpServers": {"tapedeck": server}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_its_path_and_token() {
        let read = |url: &str| base_of(url).ok();
        let plain = |base: &str| Some((base.to_owned(), None));
        let at = "http://127.0.0.1:8899";
        for own in [
            "",
            "/",
            "/mcp",
            "/mcp/",
            "/api/v1/mcp",
            "/api/mcp",
            "/api/v1/",
        ] {
            assert_eq!(read(&format!("{at}{own}")), plain(at), "{own}");
        }
        let proxied = "https://ops.example.org/tapedeck";
        assert_eq!(read(&format!("{proxied}/")), plain(proxied));
        assert_eq!(read(&format!("{proxied}/mcp")), plain(proxied));
        let (_, token) = read(&format!("{at}/?q=a&token=operate%6Fperate%2B1")).unwrap();
        assert_eq!(token.as_deref(), Some("operateoperate+1"));
        for none in ["moon", "ftp://a/", "http://me@a/", "http://a/?token=%ff"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn a_client_starts_the_command_with_what_it_was_given() {
        let global = Global {
            set: vec!["tap.dataDir=/x".to_owned()],
            config_path: Some("/etc/tapedeck.yaml".into()),
            ..Global::default()
        };
        let args = McpArgs {
            url: None,
            token: Some("t0k".to_owned()),
            allow_destructive: false,
            list_tools: false,
            mcp_config: true,
            format: Format::Table,
            release: InstanceArgs::default(),
        };
        let block = client_config(&args, &global).unwrap();
        let server = &block["mcpServers"]["tapedeck"];
        let wanted = [
            "mcp",
            "--config-path",
            "/etc/tapedeck.yaml",
            "--set",
            "tap.dataDir=/x",
        ];
        assert_eq!(server["args"], json!(wanted));
        assert_eq!(server["env"][TOKENS[0]], "t0k");
    }
}
