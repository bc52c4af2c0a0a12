from glob import glob

from setuptools import find_packages, setup

package_name = "worldsample_bringup"
share = f"share/{package_name}"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed", "bench/faults/*.c", "crop/*.html", "report/*.css"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (share, ["package.xml"]),
        (f"{share}/launch", glob("launch/*.launch.py")),
        (f"{share}/config", glob("config/*.yaml")),
        (f"{share}/config/machines", glob("config/machines/*.yaml")),
        (f"{share}/config/methods", glob("config/methods/*.yaml")),
        (f"{share}/config/tasks", glob("config/tasks/*.yaml")),
        (f"{share}/viewers", glob("viewers/*")),
    ],
    install_requires=[
        "setuptools",
        "numpy",
        "pillow",
        "pyyaml",
        "rosbags",
        "safetensors",
        "tensorboardX",
        "torch",
    ],
    extras_require={
        "optional": ["av", "pyarrow", "rerun-sdk", "scipy"],  # .dataset, .viewer, bench imagination
        "wandb": ["wandb>=0.31,<1"],  # the setting run.wandb
        "test": ["hypothesis", "pytest"],  # colcon test then calls pytest
    },
    zip_safe=False,
    maintainer="WorldSample maintainers",
    maintainer_email="worldsample@example.org",
    description="The WorldSample graph, described once: launch files, runner, command line, reports.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "dashboard_node = worldsample_bringup.dashboard_node:main",
            "worldsample_cli = worldsample_bringup.cli:main",
        ],
    },
)
