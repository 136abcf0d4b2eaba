//! The machine's clock is set: every wait stays as long as it was.

use jwksd::ids::BootId;
use jwksd::lifecycle::event::{Fact, Succession::WhenPropagated};
use jwksd::lifecycle::forecast::{Foreseen, forecast};
use jwksd::lifecycle::policy::{PROPAGATION, Rotation, Standby, Terms};
use jwksd::lifecycle::schedule::Schedule;
use jwksd::lifecycle::time::{ClockSetting, Span, Timestamp};
use proptest::prelude::*;

use super::rig::{Rig, START, kid};

const YEAR: Span = Span::from_days(365);

fn quick() -> Terms {
    Terms { rotation: Rotation::Every(PROPAGATION + Span::from_secs(1)), ..Terms::default() }
}

fn histories() -> Vec<Rig> {
    let lean = Terms { standby: Standby::JustInTime, ..Terms::default() };
    let mut troubled = Rig::running();
    troubled.compromise(&kid("a", 1), WhenPropagated).unwrap();
    let mut relaxed = Rig::running_with(quick());
    relaxed.configure("a", Terms { token_lifetime_max: Span::from_secs(60), ..quick() });
    vec![Rig::known(&[("a", lean), ("b", quick())]), troubled, relaxed]
}

fn setting(boot: u8, ahead: i64) -> Fact {
    let booted_at = Timestamp::from_second(START - 86_400).shifted(ahead);
    Fact::ClockSet { setting: ClockSetting { boot: BootId::new([boot; 16]), booted_at } }
}

/// Says by which setting moments are told, and then sets the clock ahead.
fn set(rig: &mut Rig, ahead: i64) {
    rig.apply(setting(1, 0)).unwrap();
    rig.now = rig.now.shifted(ahead);
    rig.apply(setting(1, ahead)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_foreseen_moves_with_the_clock(passed in 0..60 * 86_400_u64, ahead in -400 * 86_400..400 * 86_400_i64) {
        for mut rig in histories() {
            rig.run_for(Span::from_secs(passed));
            let foreseen = forecast(&rig.issuer, &rig.policy, rig.now, rig.now + YEAR);
            let moved = |foreseen: Foreseen| Foreseen { at: foreseen.at.shifted(ahead), ..foreseen };
            let moved: Vec<Foreseen> = foreseen.into_iter().map(moved).collect();
            set(&mut rig, ahead);
            prop_assert_eq!(forecast(&rig.issuer, &rig.policy, rig.now, rig.now + YEAR), moved);
        }
    }

    #[test]
    fn a_rotation_by_the_calendar_stays_there(passed in 0..60 * 86_400_u64, ahead in -86_400..86_400_i64) {
        let rotation = Rotation::Schedule(Schedule::new("30 2 1,11,21 * *").unwrap());
        let mut rig = Rig::running_with(Terms { rotation, ..Terms::default() });
        rig.run_for(Span::from_secs(passed));
        set(&mut rig, ahead);
        let rotates = rig.state("a").signer.as_ref().unwrap().rotate_at.as_second();
        prop_assert_eq!(rotates.rem_euclid(86_400), 2 * 3_600 + 30 * 60);
    }
}

#[test]
fn of_another_run_of_the_machine_nothing_is_known() {
    let mut rig = Rig::running();
    rig.apply(setting(1, 0)).unwrap();
    let before = rig.issuer.state().rings.clone();
    rig.apply(setting(2, 5_000)).unwrap();
    assert_eq!(rig.issuer.state().rings, before);
    assert_eq!(rig.issuer.state().clock.unwrap().boot, BootId::new([2; 16]));
}
