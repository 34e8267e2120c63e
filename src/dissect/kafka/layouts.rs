//! Layouts of the messages that are read whole, field by field in wire order.
//!
//! In: nothing. Out: one list for each request and response, with the versions that have each
//! field; [`super::schema`] says what the words mean. Never: code. Standard: the message
//! definitions of Apache Kafka 4.2 (`clients/src/main/resources/common/message`), and for versions
//! that brokers no longer take those of 3.9. Names are those that the data item has had from its
//! beginning where it names a field; else the definition's, in lower camel case.

pub(super) mod assigned;
pub(super) mod groups;

use super::schema::Kind::{
    Bool, Bytes, Int16, Int32, Int32s, Int64, Int64s, Int8, List, Records, Struct, Text, Texts, Uuid,
};
use super::schema::{FieldDef, field};

pub(super) const PRODUCE_REQUEST: &[FieldDef] = &[
    field("transactionalID", Text).since(3),
    field("requiredAcks", Int16),
    field("timeout", Int32),
    field("topicData", List(&[
        field("topic", Text).until(12),
        field("topicID", Uuid).since(13),
        field("partitions", List(&[
            field("index", Int32),
            field("records", Records),
        ])),
    ])),
];

pub(super) const PRODUCE_RESPONSE: &[FieldDef] = &[
    field("responses", List(&[
        field("name", Text).until(12),
        field("topicID", Uuid).since(13),
        field("partitionResponses", List(&[
            field("index", Int32),
            field("errorCode", Int16),
            field("baseOffset", Int64),
            field("logAppendTimeMs", Int64).since(2),
            field("logStartOffset", Int64).since(5),
            field("recordErrors", List(&[
                field("batchIndex", Int32).since(8),
                field("batchIndexErrorMessage", Text).since(8),
            ])).since(8),
            field("errorMessage", Text).since(8),
            field("currentLeader", Struct(&[
                field("leaderId", Int32).since(10),
                field("leaderEpoch", Int32).since(10),
            ])).since(10).tag(0),
        ])),
    ])),
    field("throttleTimeMs", Int32).since(1),
    field("nodeEndpoints", List(&[
        field("nodeId", Int32).since(10),
        field("host", Text).since(10),
        field("port", Int32).since(10),
        field("rack", Text).since(10),
    ])).since(10).tag(0),
];

pub(super) const FETCH_REQUEST: &[FieldDef] = &[
    field("clusterID", Text).since(12).tag(0),
    field("replicaId", Int32).until(14),
    field("replicaState", Struct(&[
        field("replicaId", Int32).since(15),
        field("replicaEpoch", Int64).since(15),
    ])).since(15).tag(1),
    field("maxWaitMs", Int32),
    field("minBytes", Int32),
    field("maxBytes", Int32).since(3),
    field("isolationLevel", Int8).since(4),
    field("sessionId", Int32).since(7),
    field("sessionEpoch", Int32).since(7),
    field("topics", List(&[
        field("topic", Text).until(12),
        field("topicID", Uuid).since(13),
        field("partitions", List(&[
            field("partition", Int32),
            field("currentLeaderEpoch", Int32).since(9),
            field("fetchOffset", Int64),
            field("lastFetchedEpoch", Int32).since(12),
            field("logStartOffset", Int64).since(5),
            field("partitionMaxBytes", Int32),
            field("replicaDirectoryId", Uuid).since(17).tag(0),
            field("highWatermark", Int64).since(18).tag(1),
        ])),
    ])),
    field("forgottenTopicsData", List(&[
        field("topic", Text).between(7, 12),
        field("topicID", Uuid).since(13),
        field("partitions", Int32s).since(7),
    ])).since(7),
    field("rackId", Text).since(11),
];

pub(super) const FETCH_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(1),
    field("errorCode", Int16).since(7),
    field("sessionId", Int32).since(7),
    field("responses", List(&[
        field("topic", Text).until(12),
        field("topicID", Uuid).since(13),
        field("partitionResponses", List(&[
            field("partition", Int32),
            field("errorCode", Int16),
            field("highWatermark", Int64),
            field("lastStableOffset", Int64).since(4),
            field("logStartOffset", Int64).since(5),
            field("divergingEpoch", Struct(&[
                field("epoch", Int32).since(12),
                field("endOffset", Int64).since(12),
            ])).since(12).tag(0),
            field("currentLeader", Struct(&[
                field("leaderId", Int32).since(12),
                field("leaderEpoch", Int32).since(12),
            ])).since(12).tag(1),
            field("snapshotId", Struct(&[
                field("endOffset", Int64),
                field("epoch", Int32),
            ])).since(12).tag(2),
            field("abortedTransactions", List(&[
                field("producerId", Int64).since(4),
                field("firstOffset", Int64).since(4),
            ])).since(4),
            field("preferredReadReplica", Int32).since(11),
            field("recordSet", Records),
        ])),
    ])),
    field("nodeEndpoints", List(&[
        field("nodeId", Int32).since(16),
        field("host", Text).since(16),
        field("port", Int32).since(16),
        field("rack", Text).since(16),
    ])).since(16).tag(0),
];

pub(super) const LIST_OFFSETS_REQUEST: &[FieldDef] = &[
    field("replicaId", Int32),
    field("isolationLevel", Int8).since(2),
    field("topics", List(&[
        field("name", Text),
        field("partitions", List(&[
            field("partitionIndex", Int32),
            field("currentLeaderEpoch", Int32).since(4),
            field("timestamp", Int64),
            field("maxNumOffsets", Int32).until(0),
        ])),
    ])),
    field("timeoutMs", Int32).since(10),
];

pub(super) const LIST_OFFSETS_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(2),
    field("topics", List(&[
        field("name", Text),
        field("partitions", List(&[
            field("partitionIndex", Int32),
            field("errorCode", Int16),
            field("oldStyleOffsets", Int64s).until(0),
            field("timestamp", Int64).since(1),
            field("offset", Int64).since(1),
            field("leaderEpoch", Int32).since(4),
        ])),
    ])),
];

pub(super) const METADATA_REQUEST: &[FieldDef] = &[
    field("topics", List(&[
        field("topicID", Uuid).since(10),
        field("name", Text),
    ])),
    field("allowAutoTopicCreation", Bool).since(4),
    field("includeClusterAuthorizedOperations", Bool).between(8, 10),
    field("includeTopicAuthorizedOperations", Bool).since(8),
];

pub(super) const METADATA_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(3),
    field("brokers", List(&[
        field("nodeId", Int32),
        field("host", Text),
        field("port", Int32),
        field("rack", Text).since(1),
    ])),
    field("clusterID", Text).since(2),
    field("controllerID", Int32).since(1),
    field("topics", List(&[
        field("errorCode", Int16),
        field("name", Text),
        field("topicID", Uuid).since(10),
        field("isInternal", Bool).since(1),
        field("partitions", List(&[
            field("errorCode", Int16),
            field("partitionIndex", Int32),
            field("leaderId", Int32),
            field("leaderEpoch", Int32).since(7),
            field("replicaNodes", Int32s),
            field("isrNodes", Int32s),
            field("offlineReplicas", Int32s).since(5),
        ])),
        field("topicAuthorizedOperations", Int32).since(8),
    ])),
    field("clusterAuthorizedOperations", Int32).between(8, 10),
    field("errorCode", Int16).since(13),
];

pub(super) const SASL_HANDSHAKE_REQUEST: &[FieldDef] = &[
    field("mechanism", Text),
];

pub(super) const SASL_HANDSHAKE_RESPONSE: &[FieldDef] = &[
    field("errorCode", Int16),
    field("mechanisms", Texts),
];

pub(super) const API_VERSIONS_REQUEST: &[FieldDef] = &[
    field("clientSoftwareName", Text).since(3),
    field("clientSoftwareVersion", Text).since(3),
];

pub(super) const API_VERSIONS_RESPONSE: &[FieldDef] = &[
    field("errorCode", Int16),
    field("apiKeys", List(&[
        field("apiKey", Int16),
        field("minVersion", Int16),
        field("maxVersion", Int16),
    ])),
    field("throttleTimeMs", Int32).since(1),
    field("supportedFeatures", List(&[
        field("name", Text).since(3),
        field("minVersion", Int16).since(3),
        field("maxVersion", Int16).since(3),
    ])).since(3).tag(0),
    field("finalizedFeaturesEpoch", Int64).since(3).tag(1),
    field("finalizedFeatures", List(&[
        field("name", Text).since(3),
        field("maxVersionLevel", Int16).since(3),
        field("minVersionLevel", Int16).since(3),
    ])).since(3).tag(2),
    field("zkMigrationReady", Bool).since(3).tag(3),
];

pub(super) const CREATE_TOPICS_REQUEST: &[FieldDef] = &[
    field("topics", List(&[
        field("name", Text),
        field("numPartitions", Int32),
        field("replicationFactor", Int16),
        field("assignments", List(&[
            field("partitionIndex", Int32),
            field("brokerIds", Int32s),
        ])),
        field("configs", List(&[
            field("name", Text),
            field("value", Text),
        ])),
    ])),
    field("timeoutMs", Int32),
    field("validateOnly", Bool).since(1),
];

pub(super) const CREATE_TOPICS_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(2),
    field("topics", List(&[
        field("name", Text),
        field("topicID", Uuid).since(7),
        field("errorCode", Int16),
        field("errorMessage", Text).since(1),
        field("topicConfigErrorCode", Int16).since(5).tag(0),
        field("numPartitions", Int32).since(5),
        field("replicationFactor", Int16).since(5),
        field("configs", List(&[
            field("name", Text).since(5),
            field("value", Text).since(5),
            field("readOnly", Bool).since(5),
            field("configSource", Int8).since(5),
            field("isSensitive", Bool).since(5),
        ])).since(5),
    ])),
];

pub(super) const DELETE_TOPICS_REQUEST: &[FieldDef] = &[
    field("topics", List(&[
        field("name", Text).since(6),
        field("topicID", Uuid).since(6),
    ])).since(6),
    field("topicNames", Texts).until(5),
    field("timeoutMs", Int32),
];

pub(super) const DELETE_TOPICS_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(1),
    field("responses", List(&[
        field("name", Text),
        field("topicID", Uuid).since(6),
        field("errorCode", Int16),
        field("errorMessage", Text).since(5),
    ])),
];

pub(super) const INIT_PRODUCER_ID_REQUEST: &[FieldDef] = &[
    field("transactionalID", Text),
    field("transactionTimeoutMs", Int32),
    field("producerId", Int64).since(3),
    field("producerEpoch", Int16).since(3),
    field("enable2Pc", Bool).since(6),
    field("keepPreparedTxn", Bool).since(6),
];

pub(super) const INIT_PRODUCER_ID_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32),
    field("errorCode", Int16),
    field("producerId", Int64),
    field("producerEpoch", Int16),
    field("ongoingTxnProducerId", Int64).since(6),
    field("ongoingTxnProducerEpoch", Int16).since(6),
];

pub(super) const SASL_AUTHENTICATE_REQUEST: &[FieldDef] = &[
    field("authBytes", Bytes),
];

pub(super) const SASL_AUTHENTICATE_RESPONSE: &[FieldDef] = &[
    field("errorCode", Int16),
    field("errorMessage", Text),
    field("authBytes", Bytes),
    field("sessionLifetimeMs", Int64).since(1),
];
