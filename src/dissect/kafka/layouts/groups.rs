//! Layouts of the messages of groups whose members assign themselves, and of the offsets of any.
//!
//! In: nothing. Out: lists as in [`super`]. Never: code. Standard: as there.

use super::super::schema::Kind::{
    Bool, Bytes, Int16, Int32, Int32s, Int64, Int8, List, Text, Texts, Uuid,
};
use super::super::schema::{FieldDef, field};

pub(in super::super) const OFFSET_COMMIT_REQUEST: &[FieldDef] = &[
    field("groupId", Text),
    field("generationIdOrMemberEpoch", Int32).since(1),
    field("memberId", Text).since(1),
    field("groupInstanceId", Text).since(7),
    field("retentionTimeMs", Int64).between(2, 4),
    field("topics", List(&[
        field("name", Text).until(9),
        field("topicID", Uuid).since(10),
        field("partitions", List(&[
            field("partitionIndex", Int32),
            field("committedOffset", Int64),
            field("committedLeaderEpoch", Int32).since(6),
            field("commitTimestamp", Int64).between(1, 1),
            field("committedMetadata", Text),
        ])),
    ])),
];

pub(in super::super) const OFFSET_COMMIT_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(3),
    field("topics", List(&[
        field("name", Text).until(9),
        field("topicID", Uuid).since(10),
        field("partitions", List(&[
            field("partitionIndex", Int32),
            field("errorCode", Int16),
        ])),
    ])),
];

pub(in super::super) const OFFSET_FETCH_REQUEST: &[FieldDef] = &[
    field("groupId", Text).until(7),
    field("topics", List(&[
        field("name", Text).until(7),
        field("partitionIndexes", Int32s).until(7),
    ])).until(7),
    field("groups", List(&[
        field("groupId", Text).since(8),
        field("memberId", Text).since(9),
        field("memberEpoch", Int32).since(9),
        field("topics", List(&[
            field("name", Text).between(8, 9),
            field("topicID", Uuid).since(10),
            field("partitionIndexes", Int32s).since(8),
        ])).since(8),
    ])).since(8),
    field("requireStable", Bool).since(7),
];

pub(in super::super) const OFFSET_FETCH_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(3),
    field("topics", List(&[
        field("name", Text).until(7),
        field("partitions", List(&[
            field("partitionIndex", Int32).until(7),
            field("committedOffset", Int64).until(7),
            field("committedLeaderEpoch", Int32).between(5, 7),
            field("metadata", Text).until(7),
            field("errorCode", Int16).until(7),
        ])).until(7),
    ])).until(7),
    field("errorCode", Int16).between(2, 7),
    field("groups", List(&[
        field("groupId", Text).since(8),
        field("topics", List(&[
            field("name", Text).between(8, 9),
            field("topicID", Uuid).since(10),
            field("partitions", List(&[
                field("partitionIndex", Int32).since(8),
                field("committedOffset", Int64).since(8),
                field("committedLeaderEpoch", Int32).since(8),
                field("metadata", Text).since(8),
                field("errorCode", Int16).since(8),
            ])).since(8),
        ])).since(8),
        field("errorCode", Int16).since(8),
    ])).since(8),
];

pub(in super::super) const FIND_COORDINATOR_REQUEST: &[FieldDef] = &[
    field("key", Text).until(3),
    field("keyType", Int8).since(1),
    field("coordinatorKeys", Texts).since(4),
];

pub(in super::super) const FIND_COORDINATOR_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(1),
    field("errorCode", Int16).until(3),
    field("errorMessage", Text).between(1, 3),
    field("nodeId", Int32).until(3),
    field("host", Text).until(3),
    field("port", Int32).until(3),
    field("coordinators", List(&[
        field("key", Text).since(4),
        field("nodeId", Int32).since(4),
        field("host", Text).since(4),
        field("port", Int32).since(4),
        field("errorCode", Int16).since(4),
        field("errorMessage", Text).since(4),
    ])).since(4),
];

pub(in super::super) const JOIN_GROUP_REQUEST: &[FieldDef] = &[
    field("groupId", Text),
    field("sessionTimeoutMs", Int32),
    field("rebalanceTimeoutMs", Int32).since(1),
    field("memberId", Text),
    field("groupInstanceId", Text).since(5),
    field("protocolType", Text),
    field("protocols", List(&[
        field("name", Text),
        field("metadata", Bytes),
    ])),
    field("reason", Text).since(8),
];

pub(in super::super) const JOIN_GROUP_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(2),
    field("errorCode", Int16),
    field("generationId", Int32),
    field("protocolType", Text).since(7),
    field("protocolName", Text),
    field("leader", Text),
    field("skipAssignment", Bool).since(9),
    field("memberId", Text),
    field("members", List(&[
        field("memberId", Text),
        field("groupInstanceId", Text).since(5),
        field("metadata", Bytes),
    ])),
];

pub(in super::super) const HEARTBEAT_REQUEST: &[FieldDef] = &[
    field("groupId", Text),
    field("generationId", Int32),
    field("memberId", Text),
    field("groupInstanceId", Text).since(3),
];

pub(in super::super) const HEARTBEAT_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(1),
    field("errorCode", Int16),
];

pub(in super::super) const LEAVE_GROUP_REQUEST: &[FieldDef] = &[
    field("groupId", Text),
    field("memberId", Text).until(2),
    field("members", List(&[
        field("memberId", Text).since(3),
        field("groupInstanceId", Text).since(3),
        field("reason", Text).since(5),
    ])).since(3),
];

pub(in super::super) const LEAVE_GROUP_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(1),
    field("errorCode", Int16),
    field("members", List(&[
        field("memberId", Text).since(3),
        field("groupInstanceId", Text).since(3),
        field("errorCode", Int16).since(3),
    ])).since(3),
];

pub(in super::super) const SYNC_GROUP_REQUEST: &[FieldDef] = &[
    field("groupId", Text),
    field("generationId", Int32),
    field("memberId", Text),
    field("groupInstanceId", Text).since(3),
    field("protocolType", Text).since(5),
    field("protocolName", Text).since(5),
    field("assignments", List(&[
        field("memberId", Text),
        field("assignment", Bytes),
    ])),
];

pub(in super::super) const SYNC_GROUP_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(1),
    field("errorCode", Int16),
    field("protocolType", Text).since(5),
    field("protocolName", Text).since(5),
    field("assignment", Bytes),
];

pub(in super::super) const DESCRIBE_GROUPS_REQUEST: &[FieldDef] = &[
    field("groups", Texts),
    field("includeAuthorizedOperations", Bool).since(3),
];

pub(in super::super) const DESCRIBE_GROUPS_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(1),
    field("groups", List(&[
        field("errorCode", Int16),
        field("errorMessage", Text).since(6),
        field("groupId", Text),
        field("groupState", Text),
        field("protocolType", Text),
        field("protocolData", Text),
        field("members", List(&[
            field("memberId", Text),
            field("groupInstanceId", Text).since(4),
            field("clientId", Text),
            field("clientHost", Text),
            field("memberMetadata", Bytes),
            field("memberAssignment", Bytes),
        ])),
        field("authorizedOperations", Int32).since(3),
    ])),
];

pub(in super::super) const LIST_GROUPS_REQUEST: &[FieldDef] = &[
    field("statesFilter", Texts).since(4),
    field("typesFilter", Texts).since(5),
];

pub(in super::super) const LIST_GROUPS_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32).since(1),
    field("errorCode", Int16),
    field("groups", List(&[
        field("groupId", Text),
        field("protocolType", Text),
        field("groupState", Text).since(4),
        field("groupType", Text).since(5),
    ])),
];

pub(in super::super) const TXN_OFFSET_COMMIT_REQUEST: &[FieldDef] = &[
    field("transactionalID", Text),
    field("groupId", Text),
    field("producerId", Int64),
    field("producerEpoch", Int16),
    field("generationId", Int32).since(3),
    field("memberId", Text).since(3),
    field("groupInstanceId", Text).since(3),
    field("topics", List(&[
        field("name", Text),
        field("partitions", List(&[
            field("partitionIndex", Int32),
            field("committedOffset", Int64),
            field("committedLeaderEpoch", Int32).since(2),
            field("committedMetadata", Text),
        ])),
    ])),
];

pub(in super::super) const TXN_OFFSET_COMMIT_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32),
    field("topics", List(&[
        field("name", Text),
        field("partitions", List(&[
            field("partitionIndex", Int32),
            field("errorCode", Int16),
        ])),
    ])),
];

pub(in super::super) const DELETE_GROUPS_REQUEST: &[FieldDef] = &[
    field("groupsNames", Texts),
];

pub(in super::super) const DELETE_GROUPS_RESPONSE: &[FieldDef] = &[
    field("throttleTimeMs", Int32),
    field("results", List(&[
        field("groupId", Text),
        field("errorCode", Int16),
    ])),
];

pub(in super::super) const OFFSET_DELETE_REQUEST: &[FieldDef] = &[
    field("groupId", Text),
    field("topics", List(&[
        field("name", Text),
        field("partitions", List(&[
            field("partitionIndex", Int32),
        ])),
    ])),
];

pub(in super::super) const OFFSET_DELETE_RESPONSE: &[FieldDef] = &[
    field("errorCode", Int16),
    field("throttleTimeMs", Int32),
    field("topics", List(&[
        field("name", Text),
        field("partitions", List(&[
            field("partitionIndex", Int32),
            field("errorCode", Int16),
        ])),
    ])),
];
