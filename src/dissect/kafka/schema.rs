//! The requests of Kafka: names, keys, versions, and the words in which their layouts are written.
//!
//! In: an API key. Out: what is known of it. Never: bytes. Standard: the protocol guide of Apache
//! Kafka 4.2 and its message definitions; KIP-482 (flexible versions, tagged fields).
//!
//! A layout lists fields in wire order, each with the versions that have it. From an API's first
//! flexible version on, texts, bytes and lists are compact (their length is a varint, plus one) and
//! every structure ends with tagged fields. Any text, bytes or list may be null on the wire, so
//! the layouts do not say which may; of structures they do.

use super::layouts::{self, assigned, groups};

/// Type of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// One byte, 0 or 1.
    Bool,
    /// A signed byte.
    Int8,
    /// Two bytes, signed.
    Int16,
    /// Four bytes, signed.
    Int32,
    /// Eight bytes, signed.
    Int64,
    /// UTF-8 behind its length.
    Text,
    /// Bytes behind their length.
    Bytes,
    /// Sixteen bytes.
    Uuid,
    /// Record batches or an old message set, behind their length in bytes.
    Records,
    /// A list of numbers.
    Int16s,
    /// A list of numbers.
    Int32s,
    /// A list of numbers.
    Int64s,
    /// A list of texts.
    Texts,
    /// A list of structures.
    List(&'static [FieldDef]),
    /// One structure.
    Struct(&'static [FieldDef]),
    /// One structure, behind a byte that is negative when it is null.
    Optional(&'static [FieldDef]),
}

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldDef {
    /// Name of the item's member.
    pub name: &'static str,
    /// Type on the wire.
    pub kind: Kind,
    /// First version that has it.
    pub first: i16,
    /// Last version that has it.
    pub last: i16,
    /// Its number, when it is a tagged field.
    pub tag: Option<u32>,
}

/// A field that every version has.
pub(super) const fn field(name: &'static str, kind: Kind) -> FieldDef {
    FieldDef {
        name,
        kind,
        first: 0,
        last: i16::MAX,
        tag: None,
    }
}

impl FieldDef {
    /// Versions from this one on have it.
    pub(super) const fn since(self, first: i16) -> FieldDef {
        FieldDef { first, ..self }
    }

    /// Versions up to this one have it.
    pub(super) const fn until(self, last: i16) -> FieldDef {
        FieldDef { last, ..self }
    }

    /// Versions from `first` to `last` have it.
    pub(super) const fn between(self, first: i16, last: i16) -> FieldDef {
        FieldDef {
            first,
            last,
            ..self
        }
    }

    /// It is a tagged field of this number.
    pub(super) const fn tag(self, tag: u32) -> FieldDef {
        FieldDef {
            tag: Some(tag),
            ..self
        }
    }

    /// Whether a version has it.
    pub(super) fn is_in(&self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }
}

/// One API.
#[derive(Debug, Clone, Copy)]
pub(super) struct Api {
    /// Its number.
    pub key: i16,
    /// Its name.
    pub name: &'static str,
    /// First flexible version; [`NEVER`] when there is none.
    pub flexible: i16,
    /// Latest version known.
    pub latest: i16,
    /// Layouts of request and response, when messages are read whole.
    pub layouts: Option<[&'static [FieldDef]; 2]>,
}

/// Stands for the APIs of brokers to come. New ones are flexible from their beginning.
static UNKNOWN: Api = head(-1, "Unknown", 0, -1);

impl Api {
    /// The API with this key.
    pub(super) fn of(key: i16) -> Option<&'static Api> {
        let at = APIS.binary_search_by_key(&key, |api| api.key).ok()?;
        APIS.get(at)
    }

    /// The API with this key, or one without layouts.
    pub(super) fn of_any(key: i16) -> &'static Api {
        Api::of(key).unwrap_or(&UNKNOWN)
    }

    /// Whether messages of a version have tagged fields.
    pub(super) fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible
    }

    /// Whether the layouts hold for a version.
    pub(super) fn knows(&self, version: i16) -> bool {
        (0..=self.latest).contains(&version)
    }

    /// Version of the request's header: "2 when flexible, else 1", and 0 of ControlledShutdown 0.
    pub(super) fn request_header(&self, version: i16) -> u8 {
        match self.is_flexible(version) {
            true => 2,
            false if self.key == CONTROLLED_SHUTDOWN && version == 0 => 0,
            false => 1,
        }
    }

    /// Version of the response's header. "ApiVersionsResponse always includes a v0 header": the
    /// client must be able to read it before it knows what the broker speaks (KIP-511).
    pub(super) fn response_header(&self, version: i16) -> u8 {
        u8::from(self.is_flexible(version) && self.key != API_VERSIONS)
    }
}

/// Whether messages of a version name topics by their identifiers alone.
pub(super) fn has_topic_ids(key: i16, version: i16) -> bool {
    let first = match key {
        PRODUCE | FETCH => 13,
        OFFSET_COMMIT | OFFSET_FETCH => 10,
        _ => return false,
    };
    version >= first
}

/// Key of Produce.
pub(super) const PRODUCE: i16 = 0;
/// Key of Fetch.
const FETCH: i16 = 1;
/// Key of Metadata.
pub(super) const METADATA: i16 = 3;
/// Key of ControlledShutdown.
const CONTROLLED_SHUTDOWN: i16 = 7;
/// Key of OffsetCommit.
const OFFSET_COMMIT: i16 = 8;
/// Key of OffsetFetch.
const OFFSET_FETCH: i16 = 9;
/// Key of SaslHandshake.
pub(super) const SASL_HANDSHAKE: i16 = 17;
/// Key of ApiVersions.
pub(super) const API_VERSIONS: i16 = 18;

/// No version is flexible.
const NEVER: i16 = i16::MAX;

const fn head(key: i16, name: &'static str, flexible: i16, latest: i16) -> Api {
    Api {
        key,
        name,
        flexible,
        latest,
        layouts: None,
    }
}

const fn full(
    key: i16,
    name: &'static str,
    flexible: i16,
    latest: i16,
    request: &'static [FieldDef],
    response: &'static [FieldDef],
) -> Api {
    Api {
        layouts: Some([request, response]),
        ..head(key, name, flexible, latest)
    }
}

/// Every API, in order of keys: key, name, first flexible version, latest version.
#[rustfmt::skip]
pub(super) static APIS: &[Api] = &[
    full(0, "Produce", 9, 13, layouts::PRODUCE_REQUEST, layouts::PRODUCE_RESPONSE),
    full(1, "Fetch", 12, 18, layouts::FETCH_REQUEST, layouts::FETCH_RESPONSE),
    full(2, "ListOffsets", 6, 11, layouts::LIST_OFFSETS_REQUEST, layouts::LIST_OFFSETS_RESPONSE),
    full(3, "Metadata", 9, 13, layouts::METADATA_REQUEST, layouts::METADATA_RESPONSE),
    head(4, "LeaderAndIsr", 4, 7),
    head(5, "StopReplica", 2, 4),
    head(6, "UpdateMetadata", 6, 8),
    head(7, "ControlledShutdown", 3, 3),
    full(8, "OffsetCommit", 8, 10, groups::OFFSET_COMMIT_REQUEST, groups::OFFSET_COMMIT_RESPONSE),
    full(9, "OffsetFetch", 6, 10, groups::OFFSET_FETCH_REQUEST, groups::OFFSET_FETCH_RESPONSE),
    full(10, "FindCoordinator", 3, 6, groups::FIND_COORDINATOR_REQUEST, groups::FIND_COORDINATOR_RESPONSE),
    full(11, "JoinGroup", 6, 9, groups::JOIN_GROUP_REQUEST, groups::JOIN_GROUP_RESPONSE),
    full(12, "Heartbeat", 4, 4, groups::HEARTBEAT_REQUEST, groups::HEARTBEAT_RESPONSE),
    full(13, "LeaveGroup", 4, 5, groups::LEAVE_GROUP_REQUEST, groups::LEAVE_GROUP_RESPONSE),
    full(14, "SyncGroup", 4, 5, groups::SYNC_GROUP_REQUEST, groups::SYNC_GROUP_RESPONSE),
    full(15, "DescribeGroups", 5, 6, groups::DESCRIBE_GROUPS_REQUEST, groups::DESCRIBE_GROUPS_RESPONSE),
    full(16, "ListGroups", 3, 5, groups::LIST_GROUPS_REQUEST, groups::LIST_GROUPS_RESPONSE),
    full(17, "SaslHandshake", NEVER, 1, layouts::SASL_HANDSHAKE_REQUEST, layouts::SASL_HANDSHAKE_RESPONSE),
    full(18, "ApiVersions", 3, 4, layouts::API_VERSIONS_REQUEST, layouts::API_VERSIONS_RESPONSE),
    full(19, "CreateTopics", 5, 7, layouts::CREATE_TOPICS_REQUEST, layouts::CREATE_TOPICS_RESPONSE),
    full(20, "DeleteTopics", 4, 6, layouts::DELETE_TOPICS_REQUEST, layouts::DELETE_TOPICS_RESPONSE),
    head(21, "DeleteRecords", 2, 2),
    full(22, "InitProducerId", 2, 6, layouts::INIT_PRODUCER_ID_REQUEST, layouts::INIT_PRODUCER_ID_RESPONSE),
    head(23, "OffsetForLeaderEpoch", 4, 4),
    head(24, "AddPartitionsToTxn", 3, 5),
    head(25, "AddOffsetsToTxn", 3, 4),
    head(26, "EndTxn", 3, 5),
    head(27, "WriteTxnMarkers", 1, 2),
    full(28, "TxnOffsetCommit", 3, 5, groups::TXN_OFFSET_COMMIT_REQUEST, groups::TXN_OFFSET_COMMIT_RESPONSE),
    head(29, "DescribeAcls", 2, 3),
    head(30, "CreateAcls", 2, 3),
    head(31, "DeleteAcls", 2, 3),
    head(32, "DescribeConfigs", 4, 4),
    head(33, "AlterConfigs", 2, 2),
    head(34, "AlterReplicaLogDirs", 2, 2),
    head(35, "DescribeLogDirs", 2, 5),
    full(36, "SaslAuthenticate", 2, 2, layouts::SASL_AUTHENTICATE_REQUEST, layouts::SASL_AUTHENTICATE_RESPONSE),
    head(37, "CreatePartitions", 2, 3),
    head(38, "CreateDelegationToken", 2, 3),
    head(39, "RenewDelegationToken", 2, 2),
    head(40, "ExpireDelegationToken", 2, 2),
    head(41, "DescribeDelegationToken", 2, 3),
    full(42, "DeleteGroups", 2, 2, groups::DELETE_GROUPS_REQUEST, groups::DELETE_GROUPS_RESPONSE),
    head(43, "ElectLeaders", 2, 2),
    head(44, "IncrementalAlterConfigs", 1, 1),
    head(45, "AlterPartitionReassignments", 0, 1),
    head(46, "ListPartitionReassignments", 0, 0),
    full(47, "OffsetDelete", NEVER, 0, groups::OFFSET_DELETE_REQUEST, groups::OFFSET_DELETE_RESPONSE),
    head(48, "DescribeClientQuotas", 1, 1),
    head(49, "AlterClientQuotas", 1, 1),
    head(50, "DescribeUserScramCredentials", 0, 0),
    head(51, "AlterUserScramCredentials", 0, 0),
    head(52, "Vote", 0, 2),
    head(53, "BeginQuorumEpoch", 1, 1),
    head(54, "EndQuorumEpoch", 1, 1),
    head(55, "DescribeQuorum", 0, 2),
    head(56, "AlterPartition", 0, 3),
    head(57, "UpdateFeatures", 0, 2),
    head(58, "Envelope", 0, 0),
    head(59, "FetchSnapshot", 0, 1),
    head(60, "DescribeCluster", 0, 2),
    head(61, "DescribeProducers", 0, 0),
    head(62, "BrokerRegistration", 0, 4),
    head(63, "BrokerHeartbeat", 0, 2),
    head(64, "UnregisterBroker", 0, 0),
    head(65, "DescribeTransactions", 0, 0),
    head(66, "ListTransactions", 0, 2),
    head(67, "AllocateProducerIds", 0, 0),
    full(68, "ConsumerGroupHeartbeat", 0, 1, assigned::CONSUMER_GROUP_HEARTBEAT_REQUEST, assigned::GROUP_HEARTBEAT_RESPONSE),
    full(69, "ConsumerGroupDescribe", 0, 1, assigned::GROUP_DESCRIBE_REQUEST, assigned::CONSUMER_GROUP_DESCRIBE_RESPONSE),
    head(70, "ControllerRegistration", 0, 0),
    head(71, "GetTelemetrySubscriptions", 0, 0),
    head(72, "PushTelemetry", 0, 0),
    head(73, "AssignReplicasToDirs", 0, 0),
    head(74, "ListConfigResources", 0, 1),
    head(75, "DescribeTopicPartitions", 0, 0),
    full(76, "ShareGroupHeartbeat", 0, 1, assigned::SHARE_GROUP_HEARTBEAT_REQUEST, assigned::GROUP_HEARTBEAT_RESPONSE),
    full(77, "ShareGroupDescribe", 0, 1, assigned::GROUP_DESCRIBE_REQUEST, assigned::SHARE_GROUP_DESCRIBE_RESPONSE),
    head(78, "ShareFetch", 0, 2),
    head(79, "ShareAcknowledge", 0, 2),
    head(80, "AddRaftVoter", 0, 1),
    head(81, "RemoveRaftVoter", 0, 0),
    head(82, "UpdateRaftVoter", 0, 0),
    head(83, "InitializeShareGroupState", 0, 0),
    head(84, "ReadShareGroupState", 0, 0),
    head(85, "WriteShareGroupState", 0, 1),
    head(86, "DeleteShareGroupState", 0, 0),
    head(87, "ReadShareGroupStateSummary", 0, 1),
    full(88, "StreamsGroupHeartbeat", 0, 0, assigned::STREAMS_GROUP_HEARTBEAT_REQUEST, assigned::STREAMS_GROUP_HEARTBEAT_RESPONSE),
    full(89, "StreamsGroupDescribe", 0, 0, assigned::GROUP_DESCRIBE_REQUEST, assigned::STREAMS_GROUP_DESCRIBE_RESPONSE),
    full(90, "DescribeShareGroupOffsets", 0, 1, assigned::DESCRIBE_SHARE_GROUP_OFFSETS_REQUEST, assigned::DESCRIBE_SHARE_GROUP_OFFSETS_RESPONSE),
    full(91, "AlterShareGroupOffsets", 0, 0, assigned::ALTER_SHARE_GROUP_OFFSETS_REQUEST, assigned::ALTER_SHARE_GROUP_OFFSETS_RESPONSE),
    full(92, "DeleteShareGroupOffsets", 0, 0, assigned::DELETE_SHARE_GROUP_OFFSETS_REQUEST, assigned::DELETE_SHARE_GROUP_OFFSETS_RESPONSE),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Versions and tags of nested fields stay within those of what holds them.
    fn check(fields: &[FieldDef], first: i16, last: i16, flexible: i16) {
        for field in fields {
            assert!(field.first <= field.last, "{}", field.name);
            assert!(field.last >= first && field.first <= last, "{}", field.name);
            assert!(
                field.tag.is_none() || field.first >= flexible,
                "{}",
                field.name
            );
            if let Kind::List(inner) | Kind::Struct(inner) | Kind::Optional(inner) = field.kind {
                check(inner, field.first, field.last, flexible);
            }
        }
    }

    #[test]
    fn the_tables_are_sound() {
        assert!(APIS.is_sorted_by_key(|api| api.key));
        assert_eq!(APIS.len(), 93);
        for api in APIS {
            assert_eq!(Api::of(api.key).map(|found| found.name), Some(api.name));
            for layout in api.layouts.into_iter().flatten() {
                check(layout, 0, api.latest, api.flexible);
            }
        }
        assert!(Api::of(-1).is_none() && Api::of(93).is_none());
    }

    /// Each API with the versions that brokers take and the versions of their headers, as the Python
    /// package `kio` has them from the message definitions of Apache Kafka 4.2, and of 3.6 what
    /// brokers have taken no more since 4.0.
    #[test]
    fn names_versions_and_headers_are_those_of_the_definitions() {
        let mut known = APIS.iter();
        for line in include_str!("apis.txt").lines() {
            let [key, name, versions, requests, responses] =
                line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let api = known.next().unwrap();
            assert_eq!((api.key.to_string().as_str(), api.name), (key, name));
            let (first, latest) = versions.split_once('-').unwrap();
            assert_eq!(latest, api.latest.to_string(), "{line}");
            let headers = |of: fn(&Api, i16) -> u8| -> String {
                let versions = first.parse().unwrap()..=api.latest;
                versions
                    .map(|version| of(api, version).to_string())
                    .collect()
            };
            assert_eq!(headers(Api::request_header), requests, "{line}");
            assert_eq!(headers(Api::response_header), responses, "{line}");
        }
        assert!(known.next().is_none());
    }
}
