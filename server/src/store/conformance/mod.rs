//! The tests that every store must pass. A store's own tests call [`conformance!`] with an expression that opens an
//! empty store and yields it with whatever must live as long.

pub(in crate::store) mod accounts;
pub(in crate::store) mod concurrency;
pub(in crate::store) mod devices;
mod fixtures;
pub(in crate::store) mod mailbox;
pub(in crate::store) mod model;
pub(in crate::store) mod prekeys;
pub(in crate::store) mod rooms;
pub(in crate::store) mod upkeep;

pub(in crate::store) use fixtures::*;

/// One `#[tokio::test]` for each test of the suite.
macro_rules! conformance {
    ($open:expr) => {
        crate::store::conformance::conformance! { @each $open;
            accounts::what_is_registered_reads_back,
            accounts::r39_a_name_is_given_once,
            accounts::r42_an_invite_is_used_as_often_as_it_says,
            accounts::nothing_of_a_refused_registration_remains,
            devices::lists_come_in_pages,
            devices::a_list_follows_the_current_one_or_is_refused,
            devices::a_removed_device_loses_everything,
            devices::a_device_number_is_given_once,
            devices::use_is_noted_to_the_day,
            devices::r23_the_highest_generation_wins,
            prekeys::r37_one_time_prekeys_are_handed_out_once_and_the_reserve_is_kept,
            prekeys::r21_an_upload_may_be_repeated_and_a_used_number_never_returns,
            prekeys::r36_two_sets_at_most,
            prekeys::the_newest_signed_prekey_stays,
            mailbox::r44_order_pages_and_acknowledgement,
            mailbox::r56_an_envelope_is_accepted_once,
            mailbox::an_old_device_list_is_refused,
            mailbox::r44_a_full_mailbox_takes_all_or_nothing,
            mailbox::pipelined_sends_keep_their_order,
            mailbox::an_abandoned_answer_does_not_undo_its_write,
            mailbox::every_length_of_envelope_comes_back,
            model::a_mailbox_behaves_like_its_model,
            rooms::a_room_is_made_once_and_its_slug_is_its_own,
            rooms::r31_one_commit_an_epoch_and_the_losers_leave_nothing,
            rooms::r56_an_entry_is_accepted_once_and_answered_as_the_first_time,
            rooms::epochs_a_little_old_are_taken_and_others_refused,
            rooms::a_commit_covers_the_leaves_of_its_epoch,
            rooms::added_read_nothing_before_and_removed_nothing_after,
            rooms::r30_an_external_commit_adds_itself_to_a_public_room,
            rooms::entries_go_when_all_have_them_or_when_they_are_too_old,
            rooms::who_leaves_is_out_at_once_and_an_empty_room_goes,
            rooms::a_public_room_that_nobody_is_in_is_closed_though_somebody_was_removed,
            rooms::r31_a_reboot_brings_back_whom_a_commit_threw_out,
            rooms::what_does_not_go_together_changes_nothing,
            rooms::device_lists_are_for_those_in_the_roster,
            rooms::r35_key_packages_are_handed_out_once_and_the_last_resort_is_flagged,
            rooms::a_room_behaves_like_its_model,
            upkeep::r44_what_is_too_old_is_deleted,
            upkeep::expiry_goes_through_all_devices,
            upkeep::a_closed_store_says_so,
            concurrency::fifty_claimers_never_get_the_same_prekey,
            concurrency::fifty_registrations_of_one_name_give_one,
            concurrency::fifty_uses_of_a_single_use_invite_give_one,
            concurrency::of_twenty_lists_at_once_one_is_published,
            concurrency::a_mailbox_filled_from_many_sides_has_no_gap,
        }
    };
    (@each $open:expr; $($concern:ident::$test:ident,)+) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let (store, _keep) = $open;
            crate::store::conformance::$concern::$test(store.clone()).await;
            match crate::store::Store::check_integrity(&*store).await {
                Ok(()) | Err(crate::store::StoreError::Closed) => {}
                Err(error) => panic!("{error}"),
            }
        }
    )+ };
}
pub(in crate::store) use conformance;
