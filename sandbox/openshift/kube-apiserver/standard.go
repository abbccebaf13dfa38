// SPDX-License-Identifier: Apache-2.0

package main

import (
	securityv1 "github.com/openshift/api/security/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	extensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const resource = "securitycontextconstraints"

// definition is the custom resource. Nobody but a cluster admin writes one, so
// that its fields are left to the types of who reads them.
func definition() *extensionsv1.CustomResourceDefinition {
	column := func(name, path string) extensionsv1.CustomResourceColumnDefinition {
		return extensionsv1.CustomResourceColumnDefinition{Name: name, Type: "string", JSONPath: path}
	}
	return &extensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: resource + "." + securityv1.GroupName},
		Spec: extensionsv1.CustomResourceDefinitionSpec{
			Group: securityv1.GroupName,
			Names: extensionsv1.CustomResourceDefinitionNames{
				Plural: resource, Singular: resource, ShortNames: []string{"scc"},
				Kind: "SecurityContextConstraints", ListKind: "SecurityContextConstraintsList",
			},
			Scope: extensionsv1.ClusterScoped,
			Versions: []extensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &extensionsv1.CustomResourceValidation{OpenAPIV3Schema: &extensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: ptr.To(true),
				}},
				AdditionalPrinterColumns: []extensionsv1.CustomResourceColumnDefinition{
					column("Priv", ".allowPrivilegedContainer"), column("Caps", ".allowedCapabilities"), column("SELinux", ".seLinuxContext.type"),
					column("RunAsUser", ".runAsUser.type"), column("FSGroup", ".fsGroup.type"), column("SupGroup", ".supplementalGroups.type"),
					column("Priority", ".priority"), column("ReadOnlyRootFS", ".readOnlyRootFilesystem"), column("Volumes", ".volumes"),
				},
			}},
		},
	}
}

// standardConstraints are the ten that each cluster has, as OpenShift's
// documentation describes them.
func standardConstraints() []securityv1.SecurityContextConstraints {
	restricted := func(name string) securityv1.SecurityContextConstraints {
		return securityv1.SecurityContextConstraints{
			ObjectMeta:               metav1.ObjectMeta{Name: name},
			AllowPrivilegeEscalation: ptr.To(true),
			RequiredDropCapabilities: []corev1.Capability{"KILL", "MKNOD", "SETUID", "SETGID"},
			RunAsUser:                securityv1.RunAsUserStrategyOptions{Type: securityv1.RunAsUserStrategyMustRunAsRange},
			SELinuxContext:           securityv1.SELinuxContextStrategyOptions{Type: securityv1.SELinuxStrategyMustRunAs},
			FSGroup:                  securityv1.FSGroupStrategyOptions{Type: securityv1.FSGroupStrategyMustRunAs},
			SupplementalGroups:       securityv1.SupplementalGroupsStrategyOptions{Type: securityv1.SupplementalGroupsStrategyRunAsAny},
			Volumes: []securityv1.FSType{
				securityv1.FSTypeConfigMap, securityv1.FSTypeCSI, securityv1.FSTypeDownwardAPI, securityv1.FSTypeEmptyDir,
				securityv1.FSTypeEphemeral, securityv1.FSTypePersistentVolumeClaim, securityv1.FSProjected, securityv1.FSTypeSecret,
			},
			Users: []string{}, Groups: []string{},
		}
	}
	// v2 is a constraint with what pod security's level "restricted" demands.
	v2 := func(scc securityv1.SecurityContextConstraints) securityv1.SecurityContextConstraints {
		scc.Name += "-v2"
		scc.AllowPrivilegeEscalation = ptr.To(false)
		scc.AllowedCapabilities = []corev1.Capability{"NET_BIND_SERVICE"}
		scc.RequiredDropCapabilities = []corev1.Capability{"ALL"}
		scc.SeccompProfiles = []string{"runtime/default"}
		return scc
	}

	nonroot := restricted("nonroot")
	nonroot.RunAsUser.Type = securityv1.RunAsUserStrategyMustRunAsNonRoot
	nonroot.FSGroup.Type = securityv1.FSGroupStrategyRunAsAny

	anyuid := restricted("anyuid")
	anyuid.Priority = ptr.To[int32](10)
	anyuid.RunAsUser.Type = securityv1.RunAsUserStrategyRunAsAny
	anyuid.FSGroup.Type = securityv1.FSGroupStrategyRunAsAny
	anyuid.RequiredDropCapabilities = []corev1.Capability{"MKNOD"}
	anyuid.Groups = []string{"system:cluster-admins"}

	hostnetwork := restricted("hostnetwork")
	hostnetwork.AllowHostNetwork, hostnetwork.AllowHostPorts = true, true
	hostnetwork.SupplementalGroups.Type = securityv1.SupplementalGroupsStrategyMustRunAs

	hostaccess := restricted("hostaccess")
	hostaccess.AllowHostNetwork, hostaccess.AllowHostPorts, hostaccess.AllowHostPID, hostaccess.AllowHostIPC = true, true, true, true
	hostaccess.AllowHostDirVolumePlugin = true
	hostaccess.Volumes = append(hostaccess.Volumes, securityv1.FSTypeHostPath)

	hostmount := restricted("hostmount-anyuid")
	hostmount.AllowHostDirVolumePlugin = true
	hostmount.Volumes = append(hostmount.Volumes, securityv1.FSTypeHostPath)
	hostmount.RunAsUser.Type = securityv1.RunAsUserStrategyRunAsAny
	hostmount.FSGroup.Type = securityv1.FSGroupStrategyRunAsAny
	hostmount.RequiredDropCapabilities = []corev1.Capability{"MKNOD"}

	privileged := restricted("privileged")
	privileged.AllowPrivilegedContainer = true
	privileged.AllowHostNetwork, privileged.AllowHostPorts, privileged.AllowHostPID, privileged.AllowHostIPC = true, true, true, true
	privileged.AllowHostDirVolumePlugin = true
	privileged.Volumes = []securityv1.FSType{securityv1.FSTypeAll}
	privileged.RunAsUser.Type = securityv1.RunAsUserStrategyRunAsAny
	privileged.SELinuxContext.Type = securityv1.SELinuxStrategyRunAsAny
	privileged.FSGroup.Type = securityv1.FSGroupStrategyRunAsAny
	privileged.RequiredDropCapabilities = nil
	privileged.AllowedCapabilities = []corev1.Capability{securityv1.AllowAllCapabilities}
	privileged.AllowedUnsafeSysctls = []string{"*"}
	privileged.SeccompProfiles = []string{"*"}
	privileged.Groups = []string{"system:cluster-admins", "system:nodes", "system:masters"}

	return []securityv1.SecurityContextConstraints{
		restricted("restricted"), v2(restricted("restricted")), nonroot, v2(nonroot), anyuid,
		hostnetwork, v2(hostnetwork), hostaccess, hostmount, privileged,
	}
}

// useRole is the role to use one constraint, which `oc adm policy
// add-scc-to-user` binds.
func useRole(constraint string) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "system:openshift:scc:" + constraint},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{securityv1.GroupName}, Resources: []string{resource}, ResourceNames: []string{constraint}, Verbs: []string{"use"},
		}},
	}
}

// everybodyUses lets all users use a constraint.
func everybodyUses(constraint string) *rbacv1.ClusterRoleBinding {
	role := useRole(constraint).Name
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "system:authenticated"}},
	}
}
