//! The yardstick's server: see [`subrosa_bench::echo`]. It prints its address as JSON and serves until it is killed.

#[tokio::main]
async fn main() {
    subrosa_bench::echo::serve().await;
}
