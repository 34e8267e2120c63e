//! `prometheus`: metrics that scripts keep, read on the metrics port.

use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsValue};

use super::{Effect, Global, GlobalKind, Helper, told};
use crate::script::child::arguments::{optional_text, pairs, text};
use crate::script::host::HostCall;

pub(super) static GLOBAL: Global = Global {
    name: "prometheus",
    doc: "Keeps metrics for Prometheus: type 1 is a counter, 2 a gauge, 3 untyped",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "metric",
        signature: "prometheus.metric(name, description, type, value, labels?) -> string",
        doc: "Sets a sample",
        effect: Effect::Network,
        example: "prometheus.metric('open_carts', 'Carts that are open', 2, 17)",
        length: 4,
        run: |_, args, context| keep(false, args, context),
    },
    Helper {
        name: "vector",
        signature: "prometheus.vector(name, description, type, value, labels) -> string",
        doc: "Adds to a counter, or sets a gauge, of a family whose samples differ in the values of their labels",
        effect: Effect::Network,
        example: "prometheus.vector('dns_requests', 'DNS requests', 1, 3, {s_pod: 'web-1'})",
        length: 5,
        run: |_, args, context| keep(true, args, context),
    },
];

fn keep(adds: bool, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let kind = match args.get_or_undefined(2).to_number(context)? {
        1.0 => 1,
        2.0 => 2,
        3.0 => 3,
        other => {
            return Err(JsNativeError::range()
                .with_message(format!(
                    "{other} is no type of a metric: 1 is a counter, 2 a gauge, 3 untyped"
                ))
                .into());
        }
    };
    let value = args.get_or_undefined(3).to_number(context)?;
    if !value.is_finite() {
        return Err(JsNativeError::range()
            .with_message(format!("{value} is no value of a metric"))
            .into());
    }
    let call = HostCall::Prometheus {
        name: text(args, 0, "the metric's name", context)?,
        description: optional_text(args, 1, context)?.unwrap_or_default(),
        kind,
        value,
        // A family keeps its label names, so one without a value is empty.
        labels: pairs(args.get_or_undefined(4), || Some(String::new()), context)?,
        adds,
    };
    told(call, context)
}
