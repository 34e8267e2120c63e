//! Helpers that lead outside, and those that are made of others: what they ask of the host.

use serde_json::{Value as Json, json};

use super::{Rig, nothing, start};
use crate::script::host::{ElasticLogin, HostCall, Note};
use crate::script::wire::{Hook, Role, Small, ToChild};

/// What a script asks while it loads.
fn asked(code: &str) -> Vec<HostCall> {
    let rig = Rig::with(start(code), nothing);
    assert_eq!(rig.failed, None, "{code}");
    rig.calls.clone()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let list = list.iter();
    list.map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

fn webhook(method: &str, body: Option<&str>, headers: &[(&str, &str)]) -> HostCall {
    HostCall::Webhook {
        method: method.into(),
        url: "http://a.example/".into(),
        body: body.map(str::to_owned),
        headers: pairs(headers),
    }
}

#[test]
fn a_webhook_takes_text_objects_and_nothing() {
    let calls = asked(
        "var u = 'http://a.example/';
         vendor.webhook('POST', u, 'text');
         vendor.webhook('GET', u);
         vendor.webhook('GET', u, null, {'X-A': 1});
         vendor.webhook('POST', u, {a: 1});
         vendor.webhook('POST', u, [1, 2]);
         vendor.webhook('POST', u, [{a: 1}, {b: 2}]);
         vendor.webhook('POST', u, new Error('no'));
         vendor.webhook('POST', u, {a: 1}, {'content-type': 'application/x-own', 'X-B': null});
         webhook('POST', u, 'old');",
    );
    let json = [("Content-Type", "application/json")];
    let wanted = [
        webhook("POST", Some("text"), &[]),
        webhook("GET", None, &[]),
        webhook("GET", None, &[("X-A", "1")]),
        webhook("POST", Some("{\"a\":1}"), &json),
        webhook("POST", Some("[1,2]"), &json),
        webhook("POST", Some("[{\"a\":1},{\"b\":2}]"), &json),
        webhook("POST", Some("Error: no"), &[]),
        webhook(
            "POST",
            Some("{\"a\":1}"),
            &[("content-type", "application/x-own")],
        ),
        webhook("POST", Some("old"), &[]),
    ];
    assert_eq!(calls, wanted);
}

#[test]
fn an_item_is_a_body_as_it_is() {
    let mut rig = Rig::new(
        "function onItemCaptured(data) { vendor.webhook('POST', 'http://a.example/', data) }",
    );
    rig.items(1);
    let [HostCall::Webhook { body, .. }] = rig.calls.as_slice() else {
        panic!("{:?}", rig.calls);
    };
    let body: Json = serde_json::from_str(body.as_deref().unwrap()).unwrap();
    assert_eq!(body["protocol"]["name"], "http");
}

#[test]
fn notes_for_slack_take_all_forms() {
    let calls = asked(
        "vendor.slack('http://hook', 'pre', 'text', '#fff');
         vendor.slack('xoxb', 'C1', 'pre', 'text', '#fff');
         slack('xoxb', 'C1', 'pre', 'text', '#fff');
         vendor.slackBot('xoxb', 'C1', 'pre', 'text', '#fff',
           {Status: 500, Ok: true, Gone: undefined, Deep: {a: 1}}, {'a.json': 'tmp/a.json'});",
    );
    let note = Note {
        pretext: "pre".into(),
        text: "text".into(),
        color: "#fff".into(),
    };
    let bot = |fields: &[(&str, &str)], files: &[(&str, &str)]| HostCall::SlackBot {
        token: "xoxb".into(),
        channel: "C1".into(),
        note: note.clone(),
        fields: pairs(fields),
        files: pairs(files),
    };
    let fields = [("Status", "500"), ("Ok", "true"), ("Deep", "{\"a\":1}")];
    let wanted = [
        HostCall::Slack {
            url: "http://hook".into(),
            note: note.clone(),
        },
        bot(&[], &[]),
        bot(&[], &[]),
        bot(&fields, &[("a.json", "tmp/a.json")]),
    ];
    assert_eq!(calls, wanted);
}

#[test]
fn points_keep_their_place_in_both_orders() {
    let calls = asked(
        "vendor.influxdb('u', 't', 'o', 'b', 'm', {n: 1}, {path: '/a', no: null, code: 7});
         influxdb('u', 't', 'm', 'o', 'b', {n: 1});",
    );
    let point = |tags: &[(&str, &str)]| HostCall::Influxdb {
        url: "u".into(),
        token: "t".into(),
        org: "o".into(),
        bucket: "b".into(),
        measurement: "m".into(),
        fields: json!({"n": 1}).as_object().unwrap().clone(),
        tags: pairs(tags),
    };
    assert_eq!(calls, [point(&[("path", "/a"), ("code", "7")]), point(&[])]);
}

#[test]
fn documents_and_records_and_uploads_are_handed_over() {
    let calls = asked(
        "vendor.elastic('', 'i', {a: 1}, '', '', 'cloud:id', 'key');
         vendor.kinesis.put('s', {a: 1}, 'eu-west-1');
         vendor.kinesis.put('s', 'text', 'eu-west-1', 'id', 'secret');
         vendor.gcs.put('b', 'f', {client_email: 'e'});
         vendor.gcs.clear('b', '', {client_email: 'e'});
         vendor.azure.put('c', 'f', 'acc', undefined, null);
         vendor.s3('eu-west-1', 'id', 'secret', 'b', '000000000007');",
    );
    let record = |payload: &str, keys: Option<(&str, &str)>| HostCall::KinesisPut {
        stream: "s".into(),
        payload: payload.into(),
        region: "eu-west-1".into(),
        key_id: keys.map(|keys| keys.0.into()),
        secret: keys.map(|keys| keys.1.into()),
    };
    let key = Some(json!({"client_email": "e"}));
    let old = ["eu-west-1", "id", "secret", "b", "pcaps/000000000007.pcap"];
    let wanted = [
        HostCall::Elastic {
            url: String::new(),
            index: "i".into(),
            document: json!({"a": 1}),
            login: ElasticLogin {
                cloud_id: Some("cloud:id".into()),
                api_key: Some("key".into()),
                ..ElasticLogin::default()
            },
        },
        record("{\"a\":1}", None),
        record("text", Some(("id", "secret"))),
        HostCall::GcsPut {
            bucket: "b".into(),
            path: "f".into(),
            key: key.clone(),
        },
        HostCall::GcsClear {
            bucket: "b".into(),
            key,
        },
        HostCall::AzurePut {
            container: "c".into(),
            path: "f".into(),
            account: Some("acc".into()),
            key: None,
            connection: None,
        },
        HostCall::S3Put {
            arguments: old.map(|text| Some(text.to_owned())).to_vec(),
        },
    ];
    assert_eq!(calls, wanted);
}

#[test]
fn what_kinesis_said_reads_well_in_a_line() {
    let code = "console.log('Kinesis Results: ' + vendor.kinesis.put('s', 'x', 'r'))";
    let rig = Rig::with(start(code), |_| Ok(json!({"ShardId": "shard-0"})));
    assert_eq!(rig.lines, ["Kinesis Results: {\"ShardId\":\"shard-0\"}"]);
}

#[test]
fn metrics_keep_their_labels_and_lines_their_words() {
    let calls = asked(
        "prometheus.metric('m', 'd', 2, 1.5);
         prometheus.vector('v', 'd', 1, 2, {s_pod: 'a', s_none: undefined});
         aggregation.msg('AP0', 'text');
         aggregation.json('AP1', 'k', {a: 1});
         aggregation.jsonWithMsg('AP2', 'k', [1], 'text');
         try { prometheus.metric('m', 'd', 9, 1) } catch (e) { console.log('' + e) }",
    );
    let lines: Vec<String> = calls
        .iter()
        .filter_map(|call| match call {
            HostCall::Aggregation { level, text } => Some(format!("{level} {text}")),
            _ => None,
        })
        .collect();
    assert_eq!(lines, ["AP0 text", "AP1 k={\"a\":1}", "AP2 text k=[1]"]);
    let HostCall::Prometheus { labels, adds, .. } = &calls[1] else {
        panic!("{calls:?}");
    };
    assert_eq!(
        (labels, *adds),
        (&pairs(&[("s_pod", "a"), ("s_none", "")]), true)
    );
    assert_eq!(
        calls.len(),
        5,
        "a type that is none never leaves the script"
    );
}

#[test]
fn a_text_is_scored_here() {
    let rig = Rig::new(
        "var good = chatgpt.sentiment('What a wonderful, great day!');
         var bad = chatgpt.sentiment('This is a horrible failure.');
         console.log(Object.keys(good).sort().join(), good.compound > 0.5, bad.compound < -0.5,
                     bad.neg > bad.pos, JSON.stringify(chatgpt.sentiment('')));
         ['!!!', '?', 'a', '\u{1f600}', ':) :(', 'NOT GOOD', '\u{0}\u{ffff}', 'kind of but']
           .forEach(function (text) { chatgpt.sentiment(text) });",
    );
    assert_eq!(rig.failed, None);
    let nothing = "{\"neg\":0,\"neu\":0,\"pos\":0,\"compound\":0}";
    assert_eq!(
        rig.lines,
        [format!("compound,neg,neu,pos true true true {nothing}")]
    );
    assert!(rig.calls.is_empty());
}

#[test]
fn yaml_has_sorted_keys() {
    let rig = Rig::new(
        "console.log(utils.json2Yaml(JSON.stringify({web: 3, db: {reads: 1, list: ['a', null]}})));
         console.log(utils.json2Yaml('{}'));
         try { utils.json2Yaml('{') } catch (e) { console.log(e instanceof Error) }",
    );
    let yaml = "db:\n  list:\n  - a\n  - null\n  reads: 1\nweb: 3\n";
    assert_eq!(rig.lines, [yaml, "{}\n", "true"]);
}

#[test]
fn maps_are_joined_and_archives_built() {
    let rig = Rig::new(
        "var a = {web: 1, db: {reads: 1}, word: 'x'}, b = {web: 2, db: {reads: 2, writes: 3}};
         console.log(JSON.stringify(wrapper.joinMaps(a, b)), JSON.stringify(a));
         console.log(JSON.stringify(wrapper.joinMaps(null, {n: 1})));
         var har = JSON.parse(wrapper.buildHAR([
           {startTime: 't', elapsedTime: 7, dst: {name: '', ip: '1.2.3.4', port: '80'},
            request: {method: 'GET', url: '/a?b=1', headers: {Host: 'h'}, queryString: {b: ['1', '2']}},
            response: {status: 200, content: {size: 1, mimeType: 'x', text: 'YQ==', encoding: 'base64'}}},
           {request: {method: 'GET'}, response: {status: 0}, dst: {name: 'a'}}, null]));
         var e = har.log.entries[0];
         console.log(har.log.version, har.log.entries.length, e.request.url, e.timings.wait,
                     JSON.stringify(e.request.queryString), e.response.content.encoding);
         var file = 'taken';",
    );
    assert_eq!(
        rig.lines,
        [
            "{\"web\":3,\"db\":{\"reads\":3,\"writes\":3},\"word\":\"x\"} \
             {\"web\":1,\"db\":{\"reads\":1},\"word\":\"x\"}",
            "{\"n\":1}",
            "1.2 1 http://1.2.3.4:80/a?b=1 7 \
             [{\"name\":\"b\",\"value\":\"1\"},{\"name\":\"b\",\"value\":\"2\"}] base64",
        ]
    );
}

#[test]
fn a_fault_within_a_wrapper_is_shown_where_it_was_called() {
    let rig = Rig::new("var x = 1;\nwrapper.kflPcapS3({}, 7);");
    let (message, line, _) = rig.failed.clone().unwrap();
    assert!(message.contains("needs an object"), "{message}");
    assert_eq!(line, Some(2), "{message}");
}

#[test]
fn the_hub_is_told_and_workers_are_not() {
    let code = "function onHubAction(a, o) { console.log(a, o.n, utils.nodeName()) }
                hub.action('counts', {n: 1});
                console.log(typeof hub.targeted())";
    let mut hub = start(code);
    hub.role = Role::Hub;
    let mut rig = Rig::with(hub, |call| {
        Ok(match call {
            HostCall::HubTargeted => json!({"targets": []}),
            _ => Json::Null,
        })
    });
    assert_eq!(
        rig.calls[0],
        HostCall::HubAction {
            action: "counts".into(),
            object: json!({"n": 1})
        }
    );
    rig.ask(ToChild::Small(Small::HubAction {
        action: "counts".into(),
        object: json!({"n": 7}),
    }));
    assert_eq!(rig.lines, ["string", "counts 7 hub"]);
    assert!(Hook::OnHubAction.is_for(Role::Hub) && !Hook::OnHubAction.is_for(Role::Worker));
    assert!(!Hook::OnItemCaptured.is_for(Role::Hub));
}

#[test]
fn a_pod_answers_to_the_names_of_kubernetes_and_go() {
    let mut rig = Rig::new(
        "function onPodEvent(event, pod) {
           console.log(event, pod.metadata.name, pod.ObjectMeta.Name, pod.Name, pod.Spec.nodeName);
           console.log(JSON.stringify(pod.ObjectMeta), pod.Labels['app.kubernetes.io/name']);
           console.log(JSON.parse(JSON.stringify(pod.ObjectMeta)).CreationTimestamp,
                       Object.keys(pod).join(), pod.TypeMeta.Kind);
         }
         function onLogCall(level, msg) { console.log(level, JSON.parse(msg).message) }",
    );
    rig.ask(ToChild::Small(Small::PodEvent {
        event: "ADDED".into(),
        pod: json!({"kind": "Pod", "metadata": {"name": "web-1",
            "labels": {"app.kubernetes.io/name": "web"}, "creationTimestamp": "2024-02-03T04:05:06Z"},
            "spec": {"nodeName": "node-a"}}),
    }));
    rig.ask(ToChild::Small(Small::LogCall {
        level: "warning".into(),
        msg: "{\"message\":\"late\"}".into(),
    }));
    assert_eq!(
        rig.lines,
        [
            "ADDED web-1 web-1 web-1 node-a",
            "{\"Name\":\"web-1\",\"CreationTimestamp\":\"2024-02-03T04:05:06Z\",\
             \"Labels\":{\"app.kubernetes.io/name\":\"web\"}} web",
            "2024-02-03T04:05:06Z kind,metadata,spec Pod",
            "warning late",
        ]
    );
}

#[test]
fn names_of_2023_give_way_to_those_of_the_script() {
    let rig = Rig::new(
        "function slack() { return 'mine' }
         var s3 = 7; let webhook = 8;
         console.log(slack(), s3, webhook, pass({}).passed, fail({}).failed)",
    );
    assert_eq!(rig.failed, None);
    assert_eq!(rig.lines, ["mine 7 8 true true"]);
}
