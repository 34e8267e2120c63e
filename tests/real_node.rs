//! A whole node with containerd and real pods (`tools/node.sh`): the chart installs worker and hub, and
//! what the pods then call is compared with what they say of it themselves.
//!
//! It takes some minutes and the machine's one such node, so it runs when it is asked for.

use std::time::Duration;

use tapedeck::time::{Clock, SystemClock, Timestamp};

use crate::seaweed::Seaweed;
use crate::slow;

mod calls;
mod confined;
mod events;
mod lives;
mod node;
mod release;
mod scripts;
mod shop;
mod targets;

use node::Node;
use release::Release;
use shop::Shop;

/// A wait for anything; a busy machine is slow, but not that slow.
const PATIENCE: Duration = Duration::from_secs(180);

fn now() -> Timestamp {
    SystemClock.now()
}

/// One node has one life in a test run: what it takes to start it is more than all that happens on it.
#[test]
fn pods_of_a_whole_node_are_recorded_with_their_names_whatever_happens_to_them_and_the_worker() {
    if !slow::is_asked_for("the test on a whole node") {
        return;
    }
    let Some(server) = Seaweed::shared() else {
        return;
    };
    let Some(node) = Node::start() else {
        return;
    };
    let bucket = server.bucket("node", false);
    let shop = Shop::open(&node);
    let release = Release::install(&node, &bucket);
    shop.call(&release);

    let mut stories = vec![events::a_pod_is_deleted(&node, &shop)];
    shop.roll_out(2);
    let (untold, told_late) = events::happen_without_a_hub(&node, &shop);
    stories.extend(untold);
    events::are_in_the_bucket(&release, &shop, &stories);
    events::rollouts_are_in_the_bucket(&release, &told_late);
    scripts::of_a_config_map_are_followed(&node);
    confined::are_worker_and_hub(&node);
    let mut of_earlier_run = None;
    let ends = lives::of_the_worker_end(&node, &mut |end| {
        if of_earlier_run.is_none() {
            of_earlier_run = Some(events::a_pod_is_deleted_after(&node, &shop, end));
        }
    });
    events::are_in_the_bucket(&release, &shop, of_earlier_run.as_slice());
    let until = targets::leave_only_these(&node, &shop);
    lives::the_last_worker_uploads(&node);

    let calls = shop.calls();
    calls::are_recorded_once_with_both_names(&release, &calls, &ends, until);
    calls::have_their_processes(&release, &shop);
    release.verify();
}
