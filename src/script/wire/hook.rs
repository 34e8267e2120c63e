//! Hooks, and the roles that are told of them.
//!
//! In: nothing. Out: names as scripts define them, and which role has which. Never: a call; who calls
//! is the child.

use serde::{Deserialize, Serialize};

/// Member of the item hook with the query that keeps other items away from it.
pub const FILTER: &str = "kfl";

/// Functions of a script that the host calls, by their final names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hook {
    /// `onPacketCaptured(info)`.
    OnPacketCaptured,
    /// `onItemCaptured(data)`.
    OnItemCaptured,
    /// `onItemQueried(data, query)`.
    OnItemQueried,
    /// `onJobPassed(tag, cron, limit)`.
    OnJobPassed,
    /// `onJobFailed(tag, cron, limit, err)`.
    OnJobFailed,
    /// `onPodEvent(event, pod)`.
    OnPodEvent,
    /// `onHubAction(action, object)`.
    OnHubAction,
    /// `onLogCall(level, msg)`.
    OnLogCall,
}

impl Hook {
    /// All hooks.
    pub const ALL: [Hook; 8] = [
        Hook::OnPacketCaptured,
        Hook::OnItemCaptured,
        Hook::OnItemQueried,
        Hook::OnJobPassed,
        Hook::OnJobFailed,
        Hook::OnPodEvent,
        Hook::OnHubAction,
        Hook::OnLogCall,
    ];

    /// The name scripts define.
    pub fn name(self) -> &'static str {
        match self {
            Hook::OnPacketCaptured => "onPacketCaptured",
            Hook::OnItemCaptured => "onItemCaptured",
            Hook::OnItemQueried => "onItemQueried",
            Hook::OnJobPassed => "onJobPassed",
            Hook::OnJobFailed => "onJobFailed",
            Hook::OnPodEvent => "onPodEvent",
            Hook::OnHubAction => "onHubAction",
            Hook::OnLogCall => "onLogCall",
        }
    }

    /// The name of early 2023, honoured when the present one is absent.
    pub fn old_name(self) -> &'static str {
        match self {
            Hook::OnPacketCaptured => "capturedPacket",
            Hook::OnItemCaptured => "capturedItem",
            Hook::OnItemQueried => "queriedItem",
            Hook::OnJobPassed => "passedJob",
            Hook::OnJobFailed => "failedJob",
            // Hooks that came later never had another name.
            Hook::OnPodEvent | Hook::OnHubAction | Hook::OnLogCall => self.name(),
        }
    }

    /// Whether instances that play `role` are told: traffic is seen by workers, and what workers
    /// send by the hub.
    pub fn is_for(self, role: Role) -> bool {
        match self {
            Hook::OnPacketCaptured | Hook::OnItemCaptured | Hook::OnItemQueried => {
                role == Role::Worker
            }
            Hook::OnHubAction => role == Role::Hub,
            Hook::OnJobPassed | Hook::OnJobFailed | Hook::OnPodEvent | Hook::OnLogCall => true,
        }
    }
}

/// Which side of a cluster a script instance plays.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Sees traffic.
    #[default]
    Worker,
    /// Gathers what workers send.
    Hub,
}
