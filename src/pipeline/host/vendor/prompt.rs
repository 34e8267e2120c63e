//! `chatgpt.prompt`: one question to a chat completions API.
//!
//! In: a question. Out: the text of the answer. Never: a conversation; each call stands alone. Any
//! server with the interface of `POST /chat/completions` will do.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::web::Request;
use super::{Vendors, json_of, refusal, send_patiently};

/// Time that a model may think.
const TIMEOUT: Duration = Duration::from_secs(60);

impl Vendors {
    /// Asks the configured model and answers what it says, blanks around it cut off.
    pub(crate) fn prompt(&self, key: &str, prompt: &str, tokens: u64) -> Result<String, String> {
        let url = format!(
            "{}/chat/completions",
            self.options.chat.trim_end_matches('/')
        );
        let body = json!({
            "model": self.options.chat_model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
        });
        let request = Request::new("POST", url)
            .header("Authorization", format!("Bearer {key}"))
            .body("application/json", body.to_string())
            .within(TIMEOUT);
        let answer = send_patiently(&self.web, &request)?;
        if !answer.status.is_success() {
            let why = json_of("the language model", &answer).ok();
            let why = why.as_ref().and_then(|json| json.pointer("/error/message"));
            return Err(match why.and_then(Json::as_str) {
                Some(why) => format!("the language model answered {}: {why}", answer.status),
                None => refusal("the language model", &answer),
            });
        }
        let json = json_of("the language model", &answer)?;
        let text = json.pointer("/choices/0/message/content");
        let text = text.and_then(Json::as_str);
        text.map(|text| text.trim().to_owned())
            .ok_or_else(|| "the language model answered without any text".to_owned())
    }
}
