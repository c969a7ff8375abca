//! The administrator of a run, on a node outside the data centre: has partitions added to the source
//! when the scenario says so, and looks again and again how many there are.

use std::{rc::Rc, time::Duration};

use unplug_engine::client::Client;
use unplug_sim::{
    SimEnv, WALL_START_NS,
    env::{Env, Exit},
};

use crate::{clients::Clients, history::Counted};

/// The name of its node.
pub(crate) const NAME: &str = "administrator";

/// It looks so often.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// The program of the node. It keeps nothing, and may ask for the same again.
///
/// # Errors
/// If the broker refuses an addition for good.
pub(crate) async fn run(env: SimEnv, clients: Rc<Clients>) -> Exit {
    let client = Client::new(&env)?;
    let mut additions = clients.additions.iter().peekable();
    while !clients.ending.get() {
        let now_ns = env.wall().0 - WALL_START_NS;
        let wanted = additions.next_if(|one| one.at_ns <= now_ns).map(|one| one.partitions);
        // Whoever asks for none asks how many there are.
        let asked = wanted.unwrap_or(0);
        let told = |there: Option<u16>| {
            env.observe("counted", there.unwrap_or(0).into(), |at_ns| {
                clients.has_counted(Counted { at_ns, asked, there });
            });
        };
        told(None);
        told(Some(client.add_partitions(clients.broker, asked).await?));
        env.sleep(LOOK_EVERY).await;
    }
    Ok(())
}
