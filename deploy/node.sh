# Environment of every node of a cluster. ~/.bashrc reads it, and Ray's launcher reads that before each command.
export PYTHONPATH=$HOME/dropneuron # the project as `ray up` copied it
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$HOME/.dropneuron/ray-token # Ray listens on all interfaces
export RAY_USAGE_STATS_ENABLED=0 RAY_SCHEDULER_EVENTS=0
export MLFLOW_TRACKING_USERNAME=admin DN_TRACKING_PASSWORD_FILE=$HOME/.dropneuron/password
if [ -f ~/dn-server/address ]; then # the head, where head.sh wrote it
  DN_TRACKING_URI=$(cat ~/dn-server/address)
  export DN_TRACKING_URI
fi
