from setuptools import find_packages, setup

package_name = "worldsample_policy"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "pillow", "safetensors", "torch"],
    extras_require={"test": ["hypothesis", "pytest"]},  # colcon test then calls pytest
    zip_safe=True,
    maintainer="WorldSample",
    maintainer_email="worldsample@example.org",
    description="Actor, RLPD learner and replay of WorldSample.",
    license="Apache-2.0",
    entry_points={
        "worldsample.imagined_policies": [
            "own_policy = worldsample_policy.imagined_acting:make",
        ],
        "console_scripts": [
            "policy_node = worldsample_policy.policy_node:main",
            "learner_node = worldsample_policy.learner_node:main",
        ],
    },
)
