//! Functions that statements have beside those of the engine.
//!
//! `json_extract_string(json, path)` is called and answers as in DuckDB: the text of a string, the
//! JSON of anything else, null where there is nothing.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::Value as Json;

/// All of them.
pub(super) fn all() -> Vec<ScalarUDF> {
    vec![ScalarUDF::from(ExtractString::new())]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExtractString {
    signature: Signature,
}

impl ExtractString {
    fn new() -> ExtractString {
        ExtractString {
            signature: Signature::string(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for ExtractString {
    fn name(&self) -> &str {
        "json_extract_string"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [json, path] = args.args.as_slice() else {
            return Err(DataFusionError::Plan(
                "json_extract_string takes JSON and a path".to_owned(),
            ));
        };
        let path = match path {
            ColumnarValue::Scalar(path) => path.try_as_str().flatten().map(str::to_owned),
            ColumnarValue::Array(_) => None,
        };
        let Some(steps) = path.as_deref().and_then(steps) else {
            return Err(DataFusionError::Plan(
                "json_extract_string takes a path in quotes, as '$.headers.Host' or '$.list[0]'"
                    .to_owned(),
            ));
        };
        let found = |text: Option<&str>| text.and_then(|text| extract(text, &steps));
        match json {
            ColumnarValue::Scalar(text) => Ok(ColumnarValue::Scalar(ScalarValue::Utf8(found(
                text.try_as_str().flatten(),
            )))),
            ColumnarValue::Array(texts) => {
                let texts = cast(texts, &DataType::Utf8)?;
                let texts: &StringArray = texts.as_string();
                let found: StringArray = texts.iter().map(found).collect();
                Ok(ColumnarValue::Array(Arc::new(found) as Arc<dyn Array>))
            }
        }
    }
}

/// A step into a value.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Element(usize),
}

/// The steps of `$.a."b c"[0]`, with or without the dollar; `None` when it is no such path.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    let mut is_first = !path.starts_with('$');
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix('[') {
            let (number, behind) = behind.split_once(']')?;
            steps.push(Step::Element(number.parse().ok()?));
            rest = behind;
        } else {
            let behind = match rest.strip_prefix('.') {
                Some(behind) => behind,
                None if is_first => rest,
                None => return None,
            };
            let (name, behind) = match behind.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => behind.split_at(behind.find(['.', '[']).unwrap_or(behind.len())),
            };
            if name.is_empty() {
                return None;
            }
            steps.push(Step::Member(name.to_owned()));
            rest = behind;
        }
        is_first = false;
    }
    Some(steps)
}

fn extract(text: &str, steps: &[Step]) -> Option<String> {
    let json: Json = serde_json::from_str(text).ok()?;
    let mut at = &json;
    for step in steps {
        at = match step {
            Step::Member(name) => at.get(name)?,
            Step::Element(number) => at.get(number)?,
        };
    }
    match at {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_path() {
        let json = r#"{"headers":{"Host":"a","x y":[1,{"b":true}]},"n":null}"#;
        let found = |path: &str| extract(json, &steps(path).unwrap());
        assert_eq!(found("$.headers.Host").as_deref(), Some("a"));
        assert_eq!(found("headers.Host").as_deref(), Some("a"));
        assert_eq!(found("$.headers.\"x y\"[1].b").as_deref(), Some("true"));
        assert_eq!(
            found("$.headers.\"x y\"").as_deref(),
            Some(r#"[1,{"b":true}]"#)
        );
        assert_eq!((found("$.n"), found("$.other")), (None, None));
        for wrong in ["$headers", "$.", "$[x]", "$.a[", "$.\"a"] {
            assert_eq!(steps(wrong), None, "{wrong}");
        }
        assert_eq!(extract("no json", &[]), None);
    }
}
