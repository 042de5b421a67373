//! Finding parameters that make one guess take as long as a person will wait (R26).

use std::time::Duration;

use super::VaultParams;

/// The most memory in KiB that calibration asks for by itself: 256 MiB, which small machines still have when the
/// passphrase is asked for. Beyond it the passes grow.
const MEMORY_CAP_KIB: u32 = 256 * 1024;
/// How often `measure` is called at most.
const MAX_MEASUREMENTS: usize = 6;
/// Half the width of what counts as on target, in percent.
const TOLERANCE: u128 = 25;

/// Parameters whose guess takes about `target_ms` by `measure`, which runs a guess with the parameters it is given and
/// returns how long that took. Never below [`VaultParams::MINIMUM`], even where that takes longer than the target, and
/// never above 256 MiB and 16 passes.
///
/// Memory grows first, since it is what makes guessing in parallel dear; then passes.
pub fn calibrate(target_ms: u64, measure: &mut dyn FnMut(VaultParams) -> Duration) -> VaultParams {
    let target = u128::from(target_ms).max(1);
    let mut params = VaultParams::MINIMUM;
    for _ in 0..MAX_MEASUREMENTS {
        let took = measure(params).as_millis().max(1);
        if took * 100 >= target * (100 - TOLERANCE) && took * 100 <= target * (100 + TOLERANCE) {
            break;
        }
        let next = scaled(params, target, took);
        if next == params {
            break;
        }
        params = next;
    }
    params
}

/// The parameters whose work is `target / took` times that of `params`, within the bounds.
fn scaled(params: VaultParams, target: u128, took: u128) -> VaultParams {
    let work = u128::from(params.memory_kib()) * u128::from(params.passes());
    let wanted = work.saturating_mul(target) / took;
    let (floor, most_passes) = (VaultParams::MINIMUM, u128::from(VaultParams::MAX_PASSES));
    let memory = (wanted / u128::from(floor.passes()))
        .clamp(u128::from(floor.memory_kib()), u128::from(MEMORY_CAP_KIB));
    let passes = (wanted / memory).clamp(u128::from(floor.passes()), most_passes);
    let (memory, passes) = (u32::try_from(memory), u32::try_from(passes));
    let (Ok(memory), Ok(passes)) = (memory, passes) else { return params };
    VaultParams::new(memory, passes, floor.lanes()).unwrap_or(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that does so many KiB-passes a millisecond.
    fn machine(speed: u64) -> impl FnMut(VaultParams) -> Duration {
        move |p| Duration::from_millis(u64::from(p.memory_kib()) * u64::from(p.passes()) / speed)
    }

    #[test]
    fn r26_a_guess_takes_half_a_second_to_one_and_a_half() {
        for speed in [300, 1_000, 2_000, 2_600] {
            let params = calibrate(1_000, &mut machine(speed));
            let took = machine(speed)(params).as_millis();
            assert!((500..=1_500).contains(&took), "speed {speed}: {params:?} takes {took} ms");
        }
    }

    #[test]
    fn r26_never_below_the_minimum_on_a_slow_machine() {
        assert_eq!(calibrate(500, &mut machine(10)), VaultParams::MINIMUM);
        assert_eq!(calibrate(0, &mut machine(1_000)), VaultParams::MINIMUM);
    }

    #[test]
    fn r26_never_above_the_cap_on_a_fast_one() {
        let params = calibrate(u64::MAX, &mut |_| Duration::ZERO);
        assert_eq!((params.memory_kib(), params.passes()), (MEMORY_CAP_KIB, VaultParams::MAX_PASSES));
    }

    #[test]
    fn measures_a_few_times_only_however_the_machine_behaves() {
        let mut calls = 0;
        calibrate(1_000, &mut |_| {
            calls += 1;
            Duration::from_millis(if calls % 2 == 0 { 10 } else { 10_000 })
        });
        assert!(calls <= MAX_MEASUREMENTS);
    }
}
