"""Topics and services of the graph: name, type, QoS and the nodes at both ends.

A test compares this list with what the nodes create (test_topics_page.py). Names that are settings, those of
the arm's vendor and of the operator's devices, are not in it: ``topics_page.py`` adds them.
"""

from __future__ import annotations

from dataclasses import dataclass

BOTH_LEARN = ("learner_node", "worldmodel_node")
BOTH_ARMS = ("sim_node", "driver_node")
CAMERAS = ("sim_node", "realsense2_camera_node")


@dataclass(frozen=True)
class GraphTopic:
    """One topic of the graph.

    Attributes:
        name: with the node's name where it is private, without the namespace.
        type: package/Name.
        qos: the publisher's profile in :mod:`worldsample_core.messages.qos`; "" for the plain one of depth 1.
        publishers, subscribers: executables, as in ``ros2 run``; of a run, those that are in its graph.
        meaning: one sentence.
    """

    name: str
    type: str
    qos: str
    publishers: tuple[str, ...]
    subscribers: tuple[str, ...]
    meaning: str


@dataclass(frozen=True)
class GraphService:
    """One service of the graph.

    Attributes:
        name: with the node's name where it is private, without the namespace.
        type: package/Name.
        servers, clients: executables, as in ``ros2 run``.
        meaning: one sentence.
    """

    name: str
    type: str
    servers: tuple[str, ...]
    clients: tuple[str, ...]
    meaning: str


TOPICS = (
    *(
        GraphTopic(
            f"/{view}/color/image_raw",
            "sensor_msgs/Image",
            "SENSOR",
            CAMERAS,
            ("policy_node",),
            f"Pictures of the {view} camera, rgb8 or bgr8.",
        )
        for view in ("side", "wrist")
    ),
    *(
        GraphTopic(
            f"/{view}/color/camera_info",
            "sensor_msgs/CameraInfo",
            "SENSOR",
            CAMERAS,
            (),
            f"Lens of the {view} camera.",
        )
        for view in ("side", "wrist")
    ),
    GraphTopic(
        "/joint_states",
        "sensor_msgs/JointState",
        "SENSOR",
        BOTH_ARMS,
        ("policy_node",),
        "Measured joints, rad and rad/s; the policy only records them.",
    ),
    GraphTopic(
        "/a1x/ee_pose",
        "geometry_msgs/PoseStamped",
        "SENSOR",
        BOTH_ARMS,
        ("policy_node", "teleop_node"),
        "Measured pose of gripper_link in base_link.",
    ),
    GraphTopic(
        "/tf",
        "tf2_msgs/TFMessage",
        "TRANSFORMS",
        BOTH_ARMS,
        (),
        "The arm's links, at the measured joints.",
    ),
    GraphTopic(
        "/tf_static",
        "tf2_msgs/TFMessage",
        "LATCHED",
        (*BOTH_ARMS, "realsense2_camera_node"),
        (),
        "gripper_link in arm_link6, and the cameras where their place is known.",
    ),
    GraphTopic(
        "/robot_description", "std_msgs/String", "LATCHED", BOTH_ARMS, (), "URDF of the arm, for viewers."
    ),
    GraphTopic(
        "/a1x/gripper",
        "worldsample_msgs/GripperState",
        "SENSOR",
        BOTH_ARMS,
        ("policy_node",),
        "Measured gripper.",
    ),
    GraphTopic(
        "/a1x/status",
        "worldsample_msgs/RobotStatus",
        "STATUS",
        BOTH_ARMS,
        ("policy_node",),
        "State of the arm, with the reason in words.",
    ),
    GraphTopic(
        "/a1x/command",
        "worldsample_msgs/EndEffectorCommand",
        "COMMAND",
        ("policy_node",),
        BOTH_ARMS,
        "One control step's motion.",
    ),
    GraphTopic(
        "/a1x/executed",
        "worldsample_msgs/CommandResult",
        "RESULTS",
        BOTH_ARMS,
        ("policy_node",),
        "One answer to each command, in real time only.",
    ),
    GraphTopic(
        "/operator/intervention",
        "worldsample_msgs/Intervention",
        "STATUS",
        ("operator_node", "teleop_node"),
        ("policy_node",),
        "The operator's wish and buttons.",
    ),
    GraphTopic(
        "/sim/state",
        "worldsample_msgs/SimState",
        "STATUS",
        ("sim_node",),
        ("operator_node", "teleop_node"),
        "Privileged state: for the scripted operator, its success for a person; never for the policy.",
    ),
    GraphTopic(
        "/transitions",
        "worldsample_msgs/Transition",
        "TRANSITIONS",
        ("policy_node",),
        BOTH_LEARN,
        "Every finished real step, once it is on disk.",
    ),
    GraphTopic(
        "/episodes",
        "worldsample_msgs/EpisodeSummary",
        "EPISODES",
        ("policy_node",),
        ("dashboard_node",),
        "Every finished episode.",
    ),
    GraphTopic(
        "/policy/status",
        "worldsample_msgs/PolicyStatus",
        "STATUS",
        ("policy_node",),
        ("sim_node", *BOTH_LEARN, "dashboard_node"),
        "State of the run.",
    ),
    GraphTopic(
        "/weights/policy",
        "worldsample_msgs/Weights",
        "LATCHED",
        ("learner_node",),
        ("policy_node", "worldmodel_node"),
        "The policy's weights, as safetensors.",
    ),
    GraphTopic(
        "/learner/status",
        "worldsample_msgs/LearnerStatus",
        "STATUS",
        ("learner_node",),
        ("sim_node", "policy_node", "dashboard_node"),
        "State of the learner.",
    ),
    GraphTopic(
        "/learner/pacing",
        "worldsample_msgs/PacingStatus",
        "STATUS",
        ("learner_node",),
        ("worldmodel_node", "dashboard_node"),
        "State of Policy-Paced Learning.",
    ),
    GraphTopic(
        "/synthetic",
        "worldsample_msgs/SyntheticBatch",
        "SYNTHETIC",
        ("worldmodel_node",),
        ("learner_node",),
        "Imagined segments.",
    ),
    GraphTopic(
        "/worldmodel/status",
        "worldsample_msgs/WorldModelStatus",
        "STATUS",
        ("worldmodel_node",),
        (*BOTH_LEARN, "dashboard_node"),
        "State of each world model; `publisher` says of which.",
    ),
    GraphTopic(
        "/clock", "rosgraph_msgs/Clock", "", ("sim_node",), (), "Time of the simulator, in lockstep only."
    ),
    GraphTopic(
        "/diagnostics",
        "diagnostic_msgs/DiagnosticArray",
        "",
        ("driver_node", "teleop_node"),
        (),
        "Rates, ages and refused commands of the real cell.",
    ),
)
"""The topics, those of the cell first."""

SERVICES = (
    GraphService(
        "/a1x/reset",
        "worldsample_msgs/Reset",
        BOTH_ARMS,
        ("policy_node",),
        "Brings the cell to the start of an episode.",
    ),
    GraphService(
        "/a1x/enable", "std_srvs/Trigger", ("driver_node",), (), "Enables the motors, by a person's will."
    ),
    GraphService(
        "/a1x/disable",
        "std_srvs/Trigger",
        ("driver_node",),
        (),
        "Sends nothing to the arm any more, until `/a1x/enable`.",
    ),
    GraphService(
        "/a1x/clear_errors",
        "std_srvs/Trigger",
        ("driver_node",),
        (),
        "Clears the arm's errors once their cause has ended.",
    ),
    GraphService(
        "/policy/fetch_transitions",
        "worldsample_msgs/FetchTransitions",
        ("policy_node",),
        BOTH_LEARN,
        "Reads what a receiver has missed from the run's disk.",
    ),
    GraphService(
        "/learner/checkpoint",
        "worldsample_msgs/Checkpoint",
        ("learner_node",),
        ("policy_node",),
        "Writes a checkpoint now.",
    ),
    GraphService(
        "/worldmodel/imagine",
        "worldsample_msgs/Imagine",
        ("worldmodel_node",),
        ("dashboard_node",),
        "Imagines a real segment again; `/worldmodel_1/imagine` and so on for more world models.",
    ),
)
"""The services. The graph has no actions."""
