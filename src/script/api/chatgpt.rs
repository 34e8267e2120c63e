//! `chatgpt`: asks a language model, and scores the mood of a text.
//!
//! The score is made here, by the rules and the word list of VADER (Hutto and Gilbert, 2014); no
//! text leaves the machine for it.

use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsValue};
use serde_json::json;
use vader_sentiment::SentimentIntensityAnalyzer;

use super::{Effect, Global, GlobalKind, Helper, told};
use crate::script::child::arguments::{optional_text, text};
use crate::script::host::HostCall;

/// Tokens of an answer when the script does not say.
const DEFAULT_TOKENS: u64 = 1024;

/// Bytes of a text that are scored; the rules look at each word several times.
const MAX_SCORED: usize = 64 << 10;

pub(super) static GLOBAL: Global = Global {
    name: "chatgpt",
    doc: "Asks a language model, and scores the mood of a text",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "prompt",
        signature: "chatgpt.prompt(apiKey, prompt, maxTokens?) -> string",
        doc: "Asks the language model that the configuration names and answers its text",
        effect: Effect::Network,
        example: "chatgpt.prompt('key', 'What does HTTP 418 mean?', 100)",
        length: 2,
        run: prompt,
    },
    Helper {
        name: "sentiment",
        signature: "chatgpt.sentiment(text) -> {neg, neu, pos, compound}",
        doc: "Scores a text: the shares of negative, neutral and positive words, and -1 to 1 for all of it",
        effect: Effect::None,
        example: "chatgpt.sentiment('What a wonderful day!').compound",
        length: 1,
        run: sentiment,
    },
];

fn prompt(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let key = optional_text(args, 0, context)?.unwrap_or_default();
    let prompt = text(args, 1, "what to ask", context)?;
    let tokens = args.get_or_undefined(2);
    let max_tokens = if tokens.is_null_or_undefined() {
        DEFAULT_TOKENS
    } else {
        tokens.to_length(context)?.max(1)
    };
    let call = HostCall::ChatgptPrompt {
        key,
        prompt,
        max_tokens,
    };
    told(call, context)
}

fn sentiment(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = optional_text(args, 0, context)?.unwrap_or_default();
    let text = text
        .get(..text.floor_char_boundary(MAX_SCORED))
        .unwrap_or_default()
        .to_owned();
    let scores = std::panic::catch_unwind(|| scores(&text))
        .map_err(|_| JsNativeError::error().with_message("the text cannot be scored"))?;
    JsValue::from_json(&scores, context)
}

fn scores(text: &str) -> serde_json::Value {
    // The rules divide by the number of words.
    if text.trim().is_empty() {
        return json!({"neg": 0, "neu": 0, "pos": 0, "compound": 0});
    }
    let analyzer = SentimentIntensityAnalyzer::new();
    let scores = analyzer.polarity_scores(text);
    let score = |name: &str| {
        let value = scores.get(name).copied().unwrap_or_default();
        // Four digits for the sum and three for shares, as the original prints them.
        let digits = if name == "compound" { 1e4 } else { 1e3 };
        (value * digits).round() / digits
    };
    json!({
        "neg": score("neg"), "neu": score("neu"), "pos": score("pos"), "compound": score("compound"),
    })
}
