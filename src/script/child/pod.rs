//! The pod that `onPodEvent` gets: JSON as Kubernetes has it, with the names of Go beside it.
//!
//! In: a pod of core/v1. Out: an object whose JSON is the pod's, and which also answers to
//! `ObjectMeta`, `Spec`, `Status`, `TypeMeta` and, as Go embeds the metadata, to `Name` or `Labels`.
//! Never: those names in `JSON.stringify(pod)` or `for in`.

use boa_engine::{Context, JsObject, JsResult, JsString, JsValue, js_string};
use serde_json::Value as Json;

use super::shims::define;

/// Keys of the metadata (meta/v1 ObjectMeta) with their names in Go.
const METADATA: &[(&str, &str)] = &[
    ("name", "Name"),
    ("generateName", "GenerateName"),
    ("namespace", "Namespace"),
    ("uid", "UID"),
    ("resourceVersion", "ResourceVersion"),
    ("generation", "Generation"),
    ("creationTimestamp", "CreationTimestamp"),
    ("deletionTimestamp", "DeletionTimestamp"),
    ("labels", "Labels"),
    ("annotations", "Annotations"),
    ("ownerReferences", "OwnerReferences"),
    ("finalizers", "Finalizers"),
];

/// The value for scripts.
pub(super) fn value(pod: &Json, context: &mut Context) -> JsResult<JsValue> {
    let value = JsValue::from_json(pod, context)?;
    let Some(object) = value.as_object() else {
        return Ok(value);
    };
    let metadata = object.get(js_string!("metadata"), context)?;
    // It is stringified on its own, so its keys are seen.
    let meta = JsObject::with_object_proto(context.intrinsics());
    if let Some(metadata) = metadata.as_object() {
        for (key, name) in METADATA {
            let member = metadata.get(JsString::from(*key), context)?;
            if member.is_undefined() {
                continue;
            }
            meta.create_data_property_or_throw(JsString::from(*name), member.clone(), context)?;
            define(&object, name, member, context)?;
        }
    }
    define(&object, "ObjectMeta", meta.into(), context)?;
    let kind = JsObject::with_object_proto(context.intrinsics());
    for (key, name) in [("kind", "Kind"), ("apiVersion", "APIVersion")] {
        let member = object.get(JsString::from(key), context)?;
        kind.create_data_property_or_throw(JsString::from(name), member, context)?;
    }
    define(&object, "TypeMeta", kind.into(), context)?;
    for (key, name) in [("spec", "Spec"), ("status", "Status")] {
        let member = object.get(JsString::from(key), context)?;
        define(&object, name, member, context)?;
    }
    Ok(value)
}
