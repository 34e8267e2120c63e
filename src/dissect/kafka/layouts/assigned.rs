//! Layouts of the messages of groups whose coordinator assigns: consumer groups (KIP-848), share
//! groups (KIP-932) and those of Kafka Streams (KIP-1071).
//!
//! In: nothing. Out: lists as in [`super`]. Never: code. Standard: as there.

use super::super::schema::Kind::{
    Bool, Int16, Int16s, Int32, Int32s, Int64, Int8, List, Optional, Struct, Text, Texts, Uuid,
};
use super::super::schema::{FieldDef, field};

pub(in super::super) const CONSUMER_GROUP_HEARTBEAT_REQUEST: &[FieldDef] = &[
    field("groupId", Text),
    field("memberId", Text),
    field("memberEpoch", Int32),
    field("instanceId", Text),
    field("rackId", Text),
    field("rebalanceTimeoutMs", Int32),
    field("subscribedTopicNames", Texts),
    field("subscribedTopicRegex", Text).since(1),
    field("serverAssignor", Text),
    field("topicPartitions", List(TOPIC_BY_ID)),
];

/// Of consumer and share groups.
pub(in super::super) const GROUP_HEARTBEAT_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32),
    field("errorCode", Int16),
    field("errorMessage", Text),
    field("memberId", Text),
    field("memberEpoch", Int32),
    field("heartbeatIntervalMs", Int32),
    field("assignment", Optional(ASSIGNMENT_BY_ID)),
];

/// Of groups of any of these kinds.
pub(in super::super) const GROUP_DESCRIBE_REQUEST: &[FieldDef] = &[
    field("groupIds", Texts),
    field("includeAuthorizedOperations", Bool),
];

pub(in super::super) const CONSUMER_GROUP_DESCRIBE_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32),
    field("groups", List(&[
        field("errorCode", Int16),
        field("errorMessage", Text),
        field("groupId", Text),
        field("groupState", Text),
        field("groupEpoch", Int32),
        field("assignmentEpoch", Int32),
        field("assignorName", Text),
        field("members", List(&[
            field("memberId", Text),
            field("instanceId", Text),
            field("rackId", Text),
            field("memberEpoch", Int32),
            field("clientId", Text),
            field("clientHost", Text),
            field("subscribedTopicNames", Texts),
            field("subscribedTopicRegex", Text),
            field("assignment", Struct(ASSIGNMENT)),
            field("targetAssignment", Struct(ASSIGNMENT)),
            field("memberType", Int8).since(1),
        ])),
        field("authorizedOperations", Int32),
    ])),
];

pub(in super::super) const SHARE_GROUP_HEARTBEAT_REQUEST: &[FieldDef] = &[
    field("groupId", Text),
    field("memberId", Text),
    field("memberEpoch", Int32),
    field("rackId", Text),
    field("subscribedTopicNames", Texts),
];

pub(in super::super) const SHARE_GROUP_DESCRIBE_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32),
    field("groups", List(&[
        field("errorCode", Int16),
        field("errorMessage", Text),
        field("groupId", Text),
        field("groupState", Text),
        field("groupEpoch", Int32),
        field("assignmentEpoch", Int32),
        field("assignorName", Text),
        field("members", List(&[
            field("memberId", Text),
            field("rackId", Text),
            field("memberEpoch", Int32),
            field("clientId", Text),
            field("clientHost", Text),
            field("subscribedTopicNames", Texts),
            field("assignment", Struct(ASSIGNMENT)),
        ])),
        field("authorizedOperations", Int32),
    ])),
];

pub(in super::super) const STREAMS_GROUP_HEARTBEAT_REQUEST: &[FieldDef] = &[
    field("groupId", Text),
    field("memberId", Text),
    field("memberEpoch", Int32),
    field("endpointInformationEpoch", Int32),
    field("instanceId", Text),
    field("rackId", Text),
    field("rebalanceTimeoutMs", Int32),
    field("topology", Optional(&[
        field("epoch", Int32),
        field("subtopologies", List(&[
            field("subtopologyId", Text),
            field("sourceTopics", Texts),
            field("sourceTopicRegex", Texts),
            field("stateChangelogTopics", List(INTERNAL_TOPIC)),
            field("repartitionSinkTopics", Texts),
            field("repartitionSourceTopics", List(INTERNAL_TOPIC)),
            field("copartitionGroups", List(&[
                field("sourceTopics", Int16s),
                field("sourceTopicRegex", Int16s),
                field("repartitionSourceTopics", Int16s),
            ])),
        ])),
    ])),
    field("activeTasks", List(TASKS)),
    field("standbyTasks", List(TASKS)),
    field("warmupTasks", List(TASKS)),
    field("processId", Text),
    field("userEndpoint", Optional(ENDPOINT)),
    field("clientTags", List(KEY_VALUE)),
    field("taskOffsets", List(TASK_OFFSETS)),
    field("taskEndOffsets", List(TASK_OFFSETS)),
    field("shutdownApplication", Bool),
];

pub(in super::super) const STREAMS_GROUP_HEARTBEAT_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32),
    field("errorCode", Int16),
    field("errorMessage", Text),
    field("memberId", Text),
    field("memberEpoch", Int32),
    field("heartbeatIntervalMs", Int32),
    field("acceptableRecoveryLag", Int32),
    field("taskOffsetIntervalMs", Int32),
    field("status", List(&[
        field("statusCode", Int8),
        field("statusDetail", Text),
    ])),
    field("activeTasks", List(TASKS)),
    field("standbyTasks", List(TASKS)),
    field("warmupTasks", List(TASKS)),
    field("endpointInformationEpoch", Int32),
    field("partitionsByUserEndpoint", List(&[
        field("userEndpoint", Struct(ENDPOINT)),
        field("activePartitions", List(TOPIC_BY_NAME)),
        field("standbyPartitions", List(TOPIC_BY_NAME)),
    ])),
];

pub(in super::super) const STREAMS_GROUP_DESCRIBE_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32),
    field("groups", List(&[
        field("errorCode", Int16),
        field("errorMessage", Text),
        field("groupId", Text),
        field("groupState", Text),
        field("groupEpoch", Int32),
        field("assignmentEpoch", Int32),
        field("topology", Optional(&[
            field("epoch", Int32),
            field("subtopologies", List(&[
                field("subtopologyId", Text),
                field("sourceTopics", Texts),
                field("repartitionSinkTopics", Texts),
                field("stateChangelogTopics", List(INTERNAL_TOPIC)),
                field("repartitionSourceTopics", List(INTERNAL_TOPIC)),
            ])),
        ])),
        field("members", List(&[
            field("memberId", Text),
            field("memberEpoch", Int32),
            field("instanceId", Text),
            field("rackId", Text),
            field("clientId", Text),
            field("clientHost", Text),
            field("topologyEpoch", Int32),
            field("processId", Text),
            field("userEndpoint", Optional(ENDPOINT)),
            field("clientTags", List(KEY_VALUE)),
            field("taskOffsets", List(TASK_OFFSETS)),
            field("taskEndOffsets", List(TASK_OFFSETS)),
            field("assignment", Struct(ALL_TASKS)),
            field("targetAssignment", Struct(ALL_TASKS)),
            field("isClassic", Bool),
        ])),
        field("authorizedOperations", Int32),
    ])),
];

pub(in super::super) const DESCRIBE_SHARE_GROUP_OFFSETS_REQUEST: &[FieldDef] = &[
    field("groups", List(&[
        field("groupId", Text),
        field("topics", List(&[
            field("topicName", Text),
            field("partitions", Int32s),
        ])),
    ])),
];

pub(in super::super) const DESCRIBE_SHARE_GROUP_OFFSETS_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32),
    field("groups", List(&[
        field("groupId", Text),
        field("topics", List(&[
            field("topicName", Text),
            field("topicID", Uuid),
            field("partitions", List(&[
                field("partitionIndex", Int32),
                field("startOffset", Int64),
                field("leaderEpoch", Int32),
                field("lag", Int64).since(1),
                field("errorCode", Int16),
                field("errorMessage", Text),
            ])),
        ])),
        field("errorCode", Int16),
        field("errorMessage", Text),
    ])),
];

pub(in super::super) const ALTER_SHARE_GROUP_OFFSETS_REQUEST: &[FieldDef] = &[
    field("groupId", Text),
    field("topics", List(&[
        field("topicName", Text),
        field("partitions", List(&[
            field("partitionIndex", Int32),
            field("startOffset", Int64),
        ])),
    ])),
];

pub(in super::super) const ALTER_SHARE_GROUP_OFFSETS_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32),
    field("errorCode", Int16),
    field("errorMessage", Text),
    field("responses", List(&[
        field("topicName", Text),
        field("topicID", Uuid),
        field("partitions", List(&[
            field("partitionIndex", Int32),
            field("errorCode", Int16),
            field("errorMessage", Text),
        ])),
    ])),
];

pub(in super::super) const DELETE_SHARE_GROUP_OFFSETS_REQUEST: &[FieldDef] = &[
    field("groupId", Text),
    field("topics", List(&[
        field("topicName", Text),
    ])),
];

pub(in super::super) const DELETE_SHARE_GROUP_OFFSETS_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32),
    field("errorCode", Int16),
    field("errorMessage", Text),
    field("responses", List(&[
        field("topicName", Text),
        field("topicID", Uuid),
        field("errorCode", Int16),
        field("errorMessage", Text),
    ])),
];

/// Partitions of a topic that is told by its identifier alone.
const TOPIC_BY_ID: &[FieldDef] = &[
    field("topicID", Uuid),
    field("partitions", Int32s),
];

/// Partitions of a topic that is told by its name alone.
const TOPIC_BY_NAME: &[FieldDef] = &[
    field("topic", Text),
    field("partitions", Int32s),
];

/// Partitions of a topic that is told by both.
const NAMED_TOPIC: &[FieldDef] = &[
    field("topicID", Uuid),
    field("topicName", Text),
    field("partitions", Int32s),
];

/// What a member reads, in answers to it.
const ASSIGNMENT_BY_ID: &[FieldDef] = &[
    field("topicPartitions", List(TOPIC_BY_ID)),
];

/// What a member reads, in descriptions.
const ASSIGNMENT: &[FieldDef] = &[
    field("topicPartitions", List(NAMED_TOPIC)),
];

const KEY_VALUE: &[FieldDef] = &[
    field("key", Text),
    field("value", Text),
];

const ENDPOINT: &[FieldDef] = &[
    field("host", Text),
    field("port", Int16),
];

/// A topic that Kafka Streams makes for itself.
const INTERNAL_TOPIC: &[FieldDef] = &[
    field("name", Text),
    field("partitions", Int32),
    field("replicationFactor", Int16),
    field("topicConfigs", List(KEY_VALUE)),
];

const TASKS: &[FieldDef] = &[
    field("subtopologyId", Text),
    field("partitions", Int32s),
];

const TASK_OFFSETS: &[FieldDef] = &[
    field("subtopologyId", Text),
    field("partition", Int32),
    field("offset", Int64),
];

const ALL_TASKS: &[FieldDef] = &[
    field("activeTasks", List(TASKS)),
    field("standbyTasks", List(TASKS)),
    field("warmupTasks", List(TASKS)),
];
